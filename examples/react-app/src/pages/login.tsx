import { useEffect, useState, type ReactNode, type SubmitEvent } from "react";
import { returnAddress } from "keybearer/axios";
import { useSession } from "keybearer/react";
import { explain, secondsToWait } from "../explain.js";
import { KeyIcon } from "../icons.js";
import { navigate } from "../router.js";
import { useNow } from "../time.js";

export function LoginPage(): ReactNode {
  const { status } = useSession();
  useEffect(() => {
    document.title = "Log in · Keybearer";
    if (status === "signedIn") navigate(returnAddress("/notes"));
  }, [status]);
  const hasEnded = new URLSearchParams(location.search).get("reason") === "ended";
  return (
    <main className="login">
      <div className="card">
        <KeyIcon />
        <h1>Log in</h1>
        {hasEnded && <p className="notice">Your session has ended. Log in again to go on where you were.</p>}
        <LoginForm />
        <p className="hint">
          <code>make demo</code> has printed a user and a password.
        </p>
      </div>
    </main>
  );
}

function LoginForm(): ReactNode {
  const { problem, waiting, isBusy, submit } = useLogin();
  const onSubmit = (event: SubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    void submit(form.get("username") as string, form.get("password") as string);
  };
  return (
    <form onSubmit={onSubmit} aria-describedby="problem">
      <label htmlFor="username">Email address or phone number</label>
      <input id="username" name="username" autoComplete="username" required autoFocus />
      <label htmlFor="password">Password</label>
      <input id="password" name="password" type="password" autoComplete="current-password" required />
      <p id="problem" role="alert">
        {waiting > 0 ? `Too many attempts. Try again in ${waiting} s.` : problem}
      </p>
      <button type="submit" className="primary" disabled={isBusy || waiting > 0}>
        {isBusy ? "Logging in …" : "Log in"}
      </button>
    </form>
  );
}

interface Login {
  readonly problem: string | undefined;
  /** Seconds until another attempt is admitted. */
  readonly waiting: number;
  readonly isBusy: boolean;
  readonly submit: (username: string, password: string) => Promise<void>;
}

function useLogin(): Login {
  const { login } = useSession();
  const [problem, setProblem] = useState<string>();
  const [waitUntil, setWaitUntil] = useState(0);
  const [isBusy, setBusy] = useState(false);
  const waiting = Math.max(0, Math.ceil((waitUntil - useNow()) / 1000));

  const submit = async (username: string, password: string): Promise<void> => {
    setBusy(true);
    setProblem(undefined);
    try {
      await login(username, password);
    } catch (error) {
      const seconds = secondsToWait(error);
      if (seconds === undefined) setProblem(explain(error));
      else setWaitUntil(performance.now() + seconds * 1000);
    } finally {
      setBusy(false);
    }
  };
  return { problem, waiting, isBusy, submit };
}
