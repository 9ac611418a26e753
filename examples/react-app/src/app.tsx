import { useEffect, useRef, type MouseEvent, type ReactNode } from "react";
import { useSession } from "keybearer/react";
import { Activity } from "./activity.js";
import { KeyIcon } from "./icons.js";
import { LoginPage } from "./pages/login.js";
import { NotesPage } from "./pages/notes.js";
import { SessionsPage } from "./pages/sessions.js";
import { loginAddress, navigate, usePath } from "./router.js";

const PAGES: Readonly<Record<string, { readonly title: string; readonly Page: () => ReactNode }>> = {
  "/notes": { title: "Notes", Page: NotesPage },
  "/sessions": { title: "Sessions", Page: SessionsPage },
};

export function App(): ReactNode {
  const { status } = useSession();
  const path = usePath();
  if (path === "/login") return <LoginPage />;
  if (status === "loading") return null; // the storage is being read
  if (status === "signedOut") return <Redirect to={loginAddress()} />;
  const page = PAGES[path];
  if (!page) return <Redirect to="/notes" />;
  return <Frame {...page} key={path} />;
}

function Redirect({ to }: { readonly to: string }): ReactNode {
  useEffect(() => navigate(to), [to]);
  return null;
}

function Frame({ title, Page }: { readonly title: string; readonly Page: () => ReactNode }): ReactNode {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · Keybearer`;
    heading.current?.focus();
  }, [title]);
  return (
    <>
      <a className="skip" href="#content">
        Skip to the content
      </a>
      <Header />
      <div className="columns">
        <main id="content">
          <h1 ref={heading} tabIndex={-1}>
            {title}
          </h1>
          <Page />
        </main>
        <Activity />
      </div>
    </>
  );
}

function Header(): ReactNode {
  const { user, logout } = useSession();
  const name = [user?.firstName, user?.lastName].filter(Boolean).join(" ");
  return (
    <header>
      <span className="brand">
        <KeyIcon /> Keybearer
      </span>
      <nav aria-label="Pages">
        {Object.entries(PAGES).map(([path, { title }]) => (
          <Link key={path} to={path}>
            {title}
          </Link>
        ))}
      </nav>
      <span className="who" title={user?.email ?? ""}>
        {name || user?.email}
      </span>
      <button type="button" onClick={() => void logout()}>
        Log out
      </button>
    </header>
  );
}

function Link({ to, children }: { readonly to: string; readonly children: ReactNode }): ReactNode {
  const isCurrent = usePath() === to;
  const onClick = (event: MouseEvent): void => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return; // a new tab or window
    event.preventDefault();
    navigate(to);
  };
  return (
    <a href={to} onClick={onClick} aria-current={isCurrent ? "page" : undefined}>
      {children}
    </a>
  );
}
