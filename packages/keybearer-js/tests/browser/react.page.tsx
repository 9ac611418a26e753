/** The program in React, in StrictMode: who is signed in, drawn twice, and a request as soon as it is mounted. */
import { StrictMode, useEffect, type ReactNode } from "react";
import { createRoot } from "react-dom/client";
import { KeybearerProvider, useSession } from "../../src/react.js";
import { program } from "./program.page.js";

declare global {
  interface Window {
    /** How often the request was asked for. */
    mounted: number;
  }
}

window.mounted = 0;

function Who({ id }: { id: string }): ReactNode {
  const { status, user } = useSession();
  return <output id={id}>{`${status} ${user?.email ?? "nobody"}`}</output>;
}

function Application(): ReactNode {
  const { login, logout } = useSession();
  useEffect(() => {
    window.mounted += 1;
    void program.send(`${process.env.ORIGINS ?? ""}/notes`);
  }, []);
  const logIn = (form: FormData): void => {
    void login(form.get("username") as string, form.get("password") as string);
  };
  return (
    <>
      <Who id="header" />
      <Who id="footer" />
      <form action={logIn}>
        <input name="username" />
        <input name="password" type="password" />
        <button>Log in</button>
      </form>
      <button id="leave" onClick={() => void logout()}>
        Log out
      </button>
    </>
  );
}

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <KeybearerProvider client={program.client}>
      <Application />
    </KeybearerProvider>
  </StrictMode>,
);
