/** One request of the user's program, whatever sends it: both credentials, refresh on 401, exactly one retry (R6-R10). */

import { ApiKeyError, isKeybearerError, NonReplayableBodyError, SessionExpiredError } from "./errors.js";
import type { Events } from "./events.js";
import type { Refresher } from "./refresh.js";
import type { Entry, Session } from "./record.js";
import { refusalOf } from "./service.js";
import type { Vault } from "./vault.js";

/** What a transport makes of an answer. */
export interface Reply {
  readonly status: number;
}

/** A request, as its transport presents it. */
export interface Outgoing<R extends Reply> {
  readonly url: URL;
  /** It takes no bearer token of ours: the caller brings an Authorization header, or wants none. */
  readonly isBare: boolean;
  /** A 401 is the caller's: it wants to see it, or the request has been retried already (rule R10). */
  readonly isFinal: boolean;
  /** Its body can be sent twice. */
  readonly isReplayable: boolean;
  /** Waits for `work`, but not beyond the request's own cancellation or timeout: then it rejects as the transport does. */
  wait<T>(work: Promise<T>): Promise<T>;
  send(credentials: Readonly<Record<string, string>>): Promise<R>;
  /** The error document of a 403; undefined when that is no JSON. */
  documentOf(reply: R): Promise<unknown>;
  /** Called before the request is sent again, with the answer that nobody reads. */
  markRetried(unread: R): void;
}

export interface ExchangeParts {
  readonly vault: Vault;
  readonly refresher: Refresher;
  readonly look: () => Promise<void> | void;
  readonly events: Events;
  readonly apiKey: string;
  readonly base: string;
  readonly origins: ReadonlySet<string>;
  readonly warnBare: (origin: string) => void;
}

export type Exchange = <R extends Reply>(request: Outgoing<R>) => Promise<R>;

export function createExchange(parts: ExchangeParts): Exchange {
  const { vault, refresher, events, apiKey, origins, look } = parts;

  /** The entry to send a request with, when whatever it has to wait for is over. */
  const entryFor = async (request: Pick<Outgoing<Reply>, "wait" | "isReplayable">): Promise<Entry> => {
    const loading = look();
    if (loading) await request.wait(loading);
    const { entry } = vault;
    const { session } = entry;
    if (session && refresher.awaited) await request.wait(refresher.awaited);
    else if (session && !request.isReplayable && left(session) <= margin(session)) {
      await request.wait(refresher.refresh(true)).catch((error: unknown) => {
        if (left(session) <= 0 || !isKeybearerError(error)) throw error;
      });
    }
    // What one user began does not go out in another's name.
    if (session && vault.entry.generation !== entry.generation) throw new SessionExpiredError();
    return vault.entry;
  };

  /** What to retry with after a 401 to `failed`; undefined when somebody else is signed in by now, or nobody. */
  const renewed = async (failed: Entry): Promise<Session | null> => {
    await look();
    const { session, ended } = vault.entry;
    if (session?.accessToken === failed.session?.accessToken || refresher.awaited) await refresher.refresh();
    else if (ended === "expired") throw new SessionExpiredError();
    return vault.entry.generation === failed.generation ? vault.entry.session : null;
  };

  const checked = async <R extends Reply>(request: Outgoing<R>, reply: R): Promise<R> => {
    if (reply.status === 403) {
      const error = refusalOf({ status: 403, document: await request.documentOf(reply) });
      if (error instanceof ApiKeyError) throw error;
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

    if (request.isBare || isPublic(url, parts.base)) {
      return checked(request, await request.send(key));
    }
    const entry = await entryFor(request);
    const reply = await request.send(withBearer(entry.session));
    if (reply.status !== 401 || !entry.session || request.isFinal) {
      return checked(request, reply);
    }
    const session = await request.wait(renewed(entry));
    if (!session) return reply;
    if (!request.isReplayable) throw new NonReplayableBodyError();
    request.markRetried(reply);
    events.emit("retried", { origin: url.origin, path: url.pathname });
    events.flush();
    return checked(request, await request.send(withBearer(session)));
  };
}

/** Log in and refresh act for nobody yet: they take the Api-Key alone. */
function isPublic({ origin, pathname }: URL, base: string): boolean {
  const path = (origin + pathname).replace(/\/$/, "");
  return path === `${base}/oauth/token` || path === `${base}/oauth/token/refresh`;
}

/** How long before its end, in milliseconds, an access token is due for a new one. */
export function margin({ lifetime }: Session): number {
  return Math.min(60_000, lifetime / 5);
}

/** Milliseconds that the access token has left. */
export function left({ clockOffset, expiresAt }: Session): number {
  return expiresAt - Date.now() - clockOffset;
}
