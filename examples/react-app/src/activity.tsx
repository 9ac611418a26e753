/** The panel that shows what the client does, and that lets people set it off. */
import { useEffect, useRef, useState, useSyncExternalStore, type ReactNode } from "react";
import { useSession } from "keybearer/react";
import { keybearer, service } from "./client.js";
import { log, type LogEntry } from "./log.js";
import { useNow } from "./time.js";

const AT_ONCE = 10;

const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });

export function Activity(): ReactNode {
  return (
    <aside aria-labelledby="activity">
      <div className="title">
        <h2 id="activity">What the client did</h2>
        <button type="button" className="quiet" onClick={log.clear}>
          Clear
        </button>
      </div>
      <TokenClock />
      <div className="actions">
        <button type="button" onClick={() => call(1)}>
          Call the service
        </button>
        <button type="button" onClick={() => call(AT_ONCE)}>
          Call it {AT_ONCE} times at once
        </button>
      </div>
      <Entries />
    </aside>
  );
}

/** Like any request of the page's; the log says what became of it. */
function call(times: number): void {
  void Promise.allSettled(Array.from({ length: times }, () => service.get("/notes")));
}

function Entries(): ReactNode {
  const entries = useSyncExternalStore(log.subscribe, () => log.entries);
  const list = useRef<HTMLOListElement>(null);
  useEffect(() => {
    list.current?.scrollTo({ top: list.current.scrollHeight });
  }, [entries]);
  if (entries.length === 0) return <p className="hint">Nothing yet.</p>;
  return (
    // tabIndex: scrolled with the keyboard too
    <ol ref={list} className="log" role="log" aria-label="Events and calls, the newest last" tabIndex={0}>
      {entries.map((entry) => (
        <Entry key={entry.id} {...entry} />
      ))}
    </ol>
  );
}

function Entry({ at, kind, text, count }: LogEntry): ReactNode {
  return (
    <li data-kind={kind}>
      <time dateTime={at.toISOString()}>{TIME.format(at)}</time>
      <span className="kind">{kind}</span>
      <span>
        {text}
        {count > 1 && <b> × {count}</b>}
      </span>
    </li>
  );
}

interface TokenTimes {
  /** Of the clock that `useNow` reads. */
  readonly endsAt: number;
  /** Milliseconds. */
  readonly lifetime: number;
}

function TokenClock(): ReactNode {
  const times = useTokenTimes();
  const now = useNow();
  if (!times) return <p className="hint">How long the access token holds is not known just now.</p>;
  const milliseconds = Math.min(Math.max(times.endsAt - now, 0), times.lifetime);
  const left = Math.ceil(milliseconds / 1000);
  return (
    <div className="clock" data-ended={left === 0}>
      <label htmlFor="left">{left > 0 ? `The access token holds for ${left} s` : "The access token has ended"}</label>
      <progress id="left" max={times.lifetime} value={milliseconds} />
      <p className="hint">
        {left > 0 ? "Calls go out with it as it is." : "The next call meets a 401, and is sent again with a new one."}
      </p>
    </div>
  );
}

/** As the service tells them (token info): asked after a login and after every refresh. */
function useTokenTimes(): TokenTimes | undefined {
  const { sessionId } = useSession();
  const [times, setTimes] = useState<TokenTimes>();
  useEffect(() => {
    const measure = (): void => {
      keybearer.inspect().then(
        ({ expiresIn, expiresAt, issuedAt }) =>
          setTimes({
            endsAt: performance.now() + expiresIn * 1000,
            lifetime: Date.parse(expiresAt) - Date.parse(issuedAt),
          }),
        () => setTimes(undefined),
      );
    };
    measure();
    return keybearer.on("refreshed", measure);
  }, [sessionId]);
  return times;
}
