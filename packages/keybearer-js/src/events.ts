/** Events: `emit` notes them, `flush` tells the listeners. So nothing of the user's runs under the lock across tabs. */

import type { Ending, User } from "./record.js";

export interface KeybearerEvents {
  /** Somebody logged in, here or in another tab. */
  signedIn: { readonly user: User };
  /** There are new tokens, from a refresh here or in another tab. */
  refreshed: { readonly user: User };
  /** Somebody logged out, here or in another tab. */
  signedOut: { readonly reason: Exclude<Ending, "expired"> };
  /** The service refused the refresh. `code` is the service's, when this tab met the refusal. */
  sessionExpired: { readonly code: string | undefined };
  /** The refresh could not be tried, or got no answer; the session is kept. `retryAfter` is seconds. */
  refreshUnavailable: { readonly retryAfter: number };
  /** A request met a 401 and is sent again. `path` is the URL's without its query. */
  retried: { readonly origin: string; readonly path: string };
  /** What was stored was malformed and is removed, or is of a newer version of this package and is left. */
  storageCorrupted: { readonly newer: boolean };
  /** The storage throws; tokens are kept in memory meanwhile. Once. */
  storageUnavailable: Record<string, never>;
  /** An asynchronous storage has been read for the first time. */
  ready: Record<string, never>;
}

export type EventName = keyof KeybearerEvents;
export type Listener<Name extends EventName> = (event: KeybearerEvents[Name]) => void;

export interface Events {
  readonly on: <Name extends EventName>(name: Name, listener: Listener<Name>) => () => void;
  /** Calls `listener` after every event. */
  readonly onAny: (listener: () => void) => () => void;
  emit<Name extends EventName>(name: Name, event: KeybearerEvents[Name]): void;
  /** Tells the listeners what was emitted since, in order. Never called under the lock. */
  readonly flush: () => void;
}

export function createEvents(): Events {
  type Any = (event: never) => void;
  const listeners = new Set<readonly [name: string, listener: Any]>();
  const waiting: (() => void)[] = [];

  const on = (name: string, listener: Any): (() => void) => {
    const subscription = [name.toLowerCase(), listener] as const;
    listeners.add(subscription);
    return () => void listeners.delete(subscription);
  };

  return {
    on,
    onAny: (listener) => on("", listener),
    emit(name, event) {
      waiting.push(() => {
        for (const [wanted, listener] of [...listeners]) {
          if (!wanted || wanted === name.toLowerCase()) void tell(listener, event as never);
        }
      });
    },
    flush() {
      for (let next; (next = waiting.shift());) next();
    },
  };
}

/** A listener that throws harms nobody, nor does one that rejects. */
async function tell<E>(listener: (event: E) => unknown, event: E): Promise<void> {
  try {
    await listener(event);
  } catch (error) {
    console.warn("keybearer: a listener threw", error);
  }
}
