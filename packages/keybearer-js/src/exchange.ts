/** One request of the user's program, whatever sends it: both credentials, refresh on 401, exactly one retry (R6-R10). */

import { ApiKeyError, NonReplayableBodyError, SessionExpiredError } from "./errors.js";
import type { Events } from "./events.js";
import type { Refresher } from "./refresh.js";
import type { Entry, Session } from "./record.js";
import { isApiKeyCode } from "./service.js";
import type { Vault } from "./vault.js";

/** A request, as its transport presents it. `Reply` is what the transport makes of an answer, whatever its status. */
export interface Outgoing<Reply> {
  readonly url: URL;
  /** The caller brings an Authorization header: it passes through. */
  readonly hasAuthorization: boolean;
  /** The caller wants no bearer token on it. */
  readonly skipAuth: boolean;
  /** The caller wants to see a 401 itself. */
  readonly skipRefresh: boolean;
  /** It has been retried already (rule R10). */
  readonly retried: boolean;
  /** Its body can be sent twice. */
  readonly replayable: boolean;
  /** Waits for `work`, but not beyond the request's own cancellation or timeout: then it rejects as the transport does. */
  wait<T>(work: Promise<T>): Promise<T>;
  send(credentials: Readonly<Record<string, string>>): Promise<Reply>;
  statusOf(reply: Reply): number | undefined;
  /** The code of the error document in a 403. */
  codeOf(reply: Reply): Promise<string | undefined>;
  /** Called before the request is sent again. */
  markRetried(): void;
}

export interface ExchangeParts {
  readonly vault: Vault;
  readonly refresher: Refresher;
  readonly look: () => Promise<void>;
  readonly events: Events;
  readonly apiKey: string;
  readonly baseURL: URL;
  readonly origins: ReadonlySet<string>;
  readonly warnBare: (origin: string) => void;
}

export type Exchange = <Reply>(request: Outgoing<Reply>) => Promise<Reply>;

export function createExchange(parts: ExchangeParts): Exchange {
  const { vault, refresher, events, apiKey, origins, look } = parts;

  const load = async (): Promise<Entry> => {
    await look();
    return vault.entry;
  };

  /** The entry to send a request with, when whatever it has to wait for is over. */
  const entryFor = async (request: Outgoing<unknown>): Promise<Entry> => {
    const { session } = await load();
    if (!session) return vault.entry;
    if (refresher.awaited) await request.wait(refresher.awaited);
    else if (!request.replayable && isNearEnd(session)) await request.wait(refresher.refresh());
    return vault.entry;
  };

  /** What to retry with after a 401 to `failed`; undefined when somebody else is signed in by now, or nobody. */
  const renewed = async (failed: Entry): Promise<Session | null> => {
    const current = await load();
    const isCurrent = current.session?.accessToken === failed.session?.accessToken;
    if (isCurrent || refresher.awaited) await refresher.refresh();
    else if (current.ended === "expired") throw new SessionExpiredError();
    return vault.entry.generation === failed.generation ? vault.entry.session : null;
  };

  const checked = async <Reply>(request: Outgoing<Reply>, reply: Reply): Promise<Reply> => {
    if (request.statusOf(reply) === 403) {
      const code = await request.codeOf(reply);
      if (code && isApiKeyCode(code)) throw new ApiKeyError(code, 403);
    }
    return reply;
  };

  return async (request) => {
    const { url } = request;
    if (!origins.has(url.origin)) {
      parts.warnBare(url.origin);
      return request.send({});
    }
    const key = { "Api-Key": apiKey };
    const withBearer = (session: Session | null) =>
      session ? { ...key, Authorization: `Bearer ${session.accessToken}` } : key;

    if (request.skipAuth || request.hasAuthorization || isPublic(url, parts.baseURL)) {
      return checked(request, await request.send(key));
    }
    const entry = await entryFor(request);
    const reply = await request.send(withBearer(entry.session));
    if (request.statusOf(reply) !== 401 || !entry.session || request.retried || request.skipRefresh) {
      return checked(request, reply);
    }
    const session = await request.wait(renewed(entry));
    if (!session) return reply;
    if (!request.replayable) throw new NonReplayableBodyError();
    request.markRetried();
    events.emit("retried", { origin: url.origin, path: url.pathname });
    events.flush();
    return checked(request, await request.send(withBearer(session)));
  };
}

/** Log in and refresh act for nobody yet: they take the Api-Key alone. */
function isPublic(url: URL, base: URL): boolean {
  if (url.origin !== base.origin || !url.pathname.startsWith(base.pathname)) return false;
  return /^\/oauth\/token(\/refresh)?\/?$/.test(url.pathname.slice(base.pathname.length));
}

/** How long before its end, in milliseconds, an access token is due for a new one. */
export function margin({ lifetime }: Session): number {
  return Math.min(60_000, lifetime / 5);
}

function isNearEnd(session: Session): boolean {
  return Date.now() + session.clockOffset >= session.expiresAt - margin(session);
}
