/** The core of one page or program: who is signed in, where the tokens are, and the single refresh. */

import { ConfigurationError, ServiceUnavailableError } from "./errors.js";
import { createEvents, type EventName, type Events, type Listener } from "./events.js";
import { checkedOrigin } from "./origins.js";
import { isToken, type User } from "./record.js";
import { createRefresher, type Refresher } from "./refresh.js";
import { createService, refusalOf, sessionOf, type Answer, type Call, type Fetch } from "./service.js";
import { createStates, type SessionState } from "./state.js";
import { chooseStorage, type StorageChoice } from "./storage.js";
import { createVault, type Vault } from "./vault.js";

type Handlers = { readonly [Name in EventName as `on${Capitalize<Name>}`]?: Listener<Name> };

/** What the core takes. Each `onX` is a listener of the event x from the start. */
export interface CoreOptions extends Handlers {
  /** The service, with its base path: `https://auth.example.com/v1/api`. */
  readonly baseURL: string;
  /** The Api-Key. Default: `process.env.REACT_APP_AUTH_API_KEY` as the build put it in. */
  readonly apiKey?: string | undefined;
  /** Origins that may be plain HTTP (loopback always may). */
  readonly insecureOrigins?: readonly string[];
  /** Where the tokens are kept. Default: "local" (localStorage) in a page, "memory" elsewhere. */
  readonly storage?: StorageChoice;
  /** The name of the record there. Applications that share an origin need one each. Default: `keybearer`. */
  readonly storageKey?: string;
  /** Milliseconds for a refresh, its repeat included (10,000), and for other calls of the service. */
  readonly timeout?: number;
  /** Milliseconds to wait for another tab's refresh: more than `timeout` (15,000). */
  readonly lockWait?: number;
  /** Sends what goes to the service. Default: the `fetch` that is global at creation. */
  readonly fetch?: Fetch;
}

/**
 * What became of the session at the service: ended by this call, over before it, or not known, because the service
 * was out of reach (it then ends by its own limits).
 */
export type LogoutOutcome = "revoked" | "alreadyEnded" | "unreachable";

export interface Core {
  readonly session: SessionState;
  /** Settled once the storage has been read; at once where it is synchronous. */
  readonly ready: Promise<void>;
  /** Rejects with ServiceError (`invalid_credentials`, `too_many_attempts`, …), ApiKeyError or ServiceUnavailableError. */
  readonly login: (username: string, password: string) => Promise<User>;
  /** Signs out here and in the other tabs at once, then ends the session (of all devices: every session) at the service. */
  readonly logout: (options?: { allDevices?: boolean }) => Promise<LogoutOutcome>;
  /** Gets new tokens now. Requests do this by themselves. */
  readonly refresh: () => Promise<User>;
  /** Subscribes; the result unsubscribes. */
  readonly on: Events["on"];
  /** Calls `listener` whenever `session` may have changed; the result unsubscribes. */
  readonly subscribe: (listener: () => void) => () => void;
  /** Lets go of every listener and timer. Tokens stay where they are kept. */
  readonly dispose: () => void;
}

/** What the transports build on. */
export interface Parts {
  readonly core: Core;
  readonly apiKey: string;
  /** The origin and the base path of the service, without a slash at the end. */
  readonly base: string;
  readonly timeout: number;
  readonly events: Events;
  readonly vault: Vault;
  readonly refresher: Refresher;
  /** Takes over what another tab has stored since, and tells the listeners. At once when the storage is synchronous. */
  readonly look: () => Promise<void> | undefined;
  /** A call of the service; rejects with ServiceUnavailableError without an answer. */
  readonly ask: (call: Call) => Promise<Answer>;
  /** Ends the calls under way. */
  readonly stop: () => void;
}

export function createParts(options: CoreOptions): Parts {
  const { storageKey = "keybearer", timeout = 10_000, lockWait = 15_000 } = options;
  const apiKey = checkedKey(options.apiKey ?? keyOfTheBuild());
  const { origin, pathname } = checkedOrigin(options.baseURL, options.insecureOrigins);
  const base = origin + pathname.replace(/\/+$/, "");

  const events = createEvents();
  subscribeHandlers(events, options);
  const { open, isShared } = chooseStorage(options.storage);
  const vault = createVault(open, storageKey, events);
  const { call, stop } = createService(base, apiKey, options.fetch ?? globalThis.fetch.bind(globalThis));
  const lockName = isShared ? `keybearer:${storageKey}` : undefined;
  const refresher = createRefresher(vault, call, events, { lockName, timeout, lockWait });
  const ask = (what: Call): Promise<Answer> =>
    call(what).catch(() => {
      throw new ServiceUnavailableError();
    });
  const look = (): Promise<void> | undefined => {
    const loading = vault.load();
    if (loading) return loading.then(events.flush);
    events.flush();
    return undefined;
  };
  const parts = { look, apiKey, base, timeout, events, vault, refresher, ask, stop };
  return { ...parts, core: createCore(parts, storageKey) };
}

function createCore(parts: Omit<Parts, "core">, storageKey: string): Core {
  const { events, look, refresher, stop, vault } = parts;
  const stateOf = createStates();
  let isLoaded = false;
  const onLoaded = (): void => {
    isLoaded = true;
    events.emit("ready", {});
    events.flush();
  };
  const loading = look();
  if (!loading) onLoaded();
  const unfollow = followStorage(look, storageKey);

  return {
    get session() {
      return stateOf(vault.entry, isLoaded);
    },
    ready: Promise.resolve(loading?.then(onLoaded)),
    login: (username, password) => logIn(parts, username, password),
    logout: (how) => logOut(parts, how?.allDevices === true),
    refresh: async () => {
      await look();
      return (await refresher.refresh()).user;
    },
    on: events.on,
    subscribe: events.onAny,
    dispose: () => {
      unfollow();
      stop();
    },
  };
}

type Calls = Pick<Parts, "ask" | "events" | "timeout" | "vault">;

async function logIn({ ask, events, timeout, vault }: Calls, username: string, password: string): Promise<User> {
  const answer = await ask({ method: "POST", path: "oauth/token", body: { username, password }, timeout });
  if (answer.status >= 400) throw refusalOf(answer);
  const session = sessionOf(answer, 0);
  if (!session) throw new ServiceUnavailableError();
  await vault.begin(session);
  events.flush();
  return session.user;
}

async function logOut({ ask, events, timeout, vault }: Calls, allDevices: boolean): Promise<LogoutOutcome> {
  await vault.load();
  const { session } = vault.entry;
  if (session) await vault.leave();
  events.flush();
  if (!session) return "alreadyEnded";
  const { status, document } = await ask({
    method: "POST",
    path: `oauth/token/revoke${allDevices ? "?allDevices=true" : ""}`,
    headers: { Authorization: `Bearer ${session.accessToken}` },
    body: { refresh_token: session.refreshToken },
    timeout,
    keepalive: true,
  }).catch(() => ({ status: 0, document: undefined }));
  return status === 200 && document ? "revoked" : status === 401 ? "alreadyEnded" : "unreachable";
}

/** Hears of the other tabs until the result is called. */
function followStorage(look: () => unknown, storageKey: string): () => void {
  if (typeof document === "undefined") return () => undefined;
  const onStorage = ({ key }: StorageEvent): void => {
    // No key: everything was cleared.
    if (key === storageKey || key === null) look();
  };
  window.addEventListener("storage", onStorage);
  return () => {
    window.removeEventListener("storage", onStorage);
  };
}

function subscribeHandlers(events: Events, options: object): void {
  for (const [name, handler] of Object.entries(options) as [string, unknown][]) {
    const event = /^on([A-Z].*)/.exec(name)?.[1];
    if (event && typeof handler === "function") {
      events.on((event.charAt(0).toLowerCase() + event.slice(1)) as EventName, handler as Listener<EventName>);
    }
  }
}

function checkedKey(apiKey: string | undefined): string {
  if (!apiKey) throw new ConfigurationError("No Api-Key. Set REACT_APP_AUTH_API_KEY for the build, or pass apiKey.");
  if (!isToken(apiKey)) throw new ConfigurationError("The Api-Key is malformed. Copy it anew.");
  return apiKey;
}

// Bundlers replace the expression below literally; where nothing did, there may be no `process`.
function keyOfTheBuild(): string | undefined {
  try {
    return process.env.REACT_APP_AUTH_API_KEY;
  } catch {
    return undefined;
  }
}
