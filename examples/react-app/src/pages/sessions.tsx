import type { ReactNode } from "react";
import type { OwnSession } from "keybearer/axios";
import { useSession } from "keybearer/react";
import { keybearer } from "../client.js";
import { useResource } from "../resource.js";

export function SessionsPage(): ReactNode {
  const { value: sessions, problem, change } = useResource(keybearer.sessions);
  const others = sessions?.filter(({ current }) => !current) ?? [];
  return (
    <>
      <p className="hint">Where you are logged in. A session that you end is refused everywhere within 100 ms.</p>
      <p role="alert">{problem}</p>
      <ul className="cards">
        {sessions?.map((session) => (
          <Session key={session.id} {...session} end={() => void change(() => keybearer.endSession(session.id))} />
        ))}
      </ul>
      {others.length > 0 && (
        <button type="button" className="danger" onClick={() => void change(keybearer.endOtherSessions)}>
          End all others
        </button>
      )}
    </>
  );
}

function Session({
  current,
  applicationName,
  agent,
  address,
  end,
  ...times
}: OwnSession & { readonly end: () => void }): ReactNode {
  const { logout } = useSession();
  const name = describeAgent(agent);
  return (
    <li data-current={current}>
      <div>
        <p>
          {name} {current && <strong className="badge">this one</strong>}
        </p>
        <small>
          {applicationName} · {address}
        </small>
        <small>
          since <time dateTime={times.createdAt}>{new Date(times.createdAt).toLocaleString()}</time>, last used{" "}
          <time dateTime={times.lastUsedAt}>{new Date(times.lastUsedAt).toLocaleString()}</time>
        </small>
      </div>
      {current ? (
        <button type="button" className="quiet" onClick={() => void logout()}>
          Log out
        </button>
      ) : (
        <button type="button" className="quiet" aria-label={`End the session of ${name}`} onClick={end}>
          End
        </button>
      )}
    </li>
  );
}

const BROWSERS: readonly (readonly [string, RegExp])[] = [
  // Edge says that it is Chrome too, and Chrome that it is Safari.
  ["Edge", /Edg\/(\d+)/],
  ["Firefox", /Firefox\/(\d+)/],
  ["Chrome", /Chrome\/(\d+)/],
  ["Safari", /Version\/(\d+)/],
];

/** “Firefox 140 on Linux”; of other programs, what they call themselves. */
function describeAgent(agent: string): string {
  const system = /Windows|Android|iPhone|iPad|Mac OS X|Linux/.exec(agent)?.[0];
  for (const [name, pattern] of BROWSERS) {
    const version = pattern.exec(agent)?.[1];
    if (version && system) return `${name} ${version} on ${system}`;
  }
  return /^[^/]+/.exec(agent)?.[0] ?? "An unknown program";
}
