/** The core of one page or program: who is signed in, where the tokens are, and the single refresh. */

import { createEvents, type EventName, type Events, type Listener } from "./events.js";
import type { User } from "./record.js";
import { createRefresher, type Refresher } from "./refresh.js";
import { createService, refusalOf, sessionOf, type Service, type ServiceOptions } from "./service.js";
import { withLock } from "./lock.js";
import type { SessionState } from "./state.js";
import { opener, type StorageChoice } from "./storage.js";
import { createVault, type Vault } from "./vault.js";

type Handlers = { readonly [Name in EventName as `on${Capitalize<Name>}`]?: Listener<Name> };

/** What the core takes. Each `onX` is a listener of the event x from the start. */
export interface CoreOptions extends Handlers, ServiceOptions {
  /** Where the tokens are kept. Default: "local" (localStorage) in a page, "memory" elsewhere. */
  readonly storage?: StorageChoice;
  /** The name of the record there. Applications that share an origin need one each. Default: `keybearer`. */
  readonly storageKey?: string;
  /** Milliseconds to wait for another tab's refresh: more than `timeout` (15,000). */
  readonly lockWait?: number;
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
export interface Parts extends Service {
  readonly core: Core;
  readonly events: Events;
  readonly vault: Vault;
  readonly refresher: Refresher;
  /** Takes over what another tab has stored since, and tells the listeners. At once when the storage is synchronous. */
  readonly look: () => Promise<void> | void;
  /** Called by `dispose`. */
  readonly disposers: Set<() => void>;
}

export function createParts(options: CoreOptions): Parts {
  const isPage = typeof document === "object";
  const { storage = isPage ? "local" : "memory", storageKey = "keybearer", lockWait = 15_000 } = options;
  const disposers = new Set<() => void>();
  let isLoaded = false;
  let state: SessionState | undefined;

  const service = createService(options, disposers);
  const events = createEvents();
  const vault = createVault(opener(storage), storageKey, events);
  // Whether other tabs may use it too, so that refreshes need the lock.
  const isShared = storage === "local" || (isPage && typeof storage === "object");
  const refresher = createRefresher(vault, service.call, events, (work) =>
    isShared ? withLock(`keybearer:${storageKey}`, lockWait, work) : work(),
  );
  // `onX` is a listener of x; `fetch`, the other function among the options, becomes one of nothing.
  for (const [name, handler] of Object.entries(options) as [string, unknown][]) {
    if (typeof handler === "function") events.on(name.slice(2) as EventName, handler as Listener<EventName>);
  }

  const look = (): Promise<void> | void => {
    const loading = vault.load();
    return loading ? loading.then(events.flush) : events.flush();
  };
  const onLoaded = (): void => {
    isLoaded = true;
    events.emit("ready", {});
    events.flush();
  };

  const loading = look();
  const onStorage = (): void => void look();
  if (isPage) addEventListener("storage", onStorage);
  disposers.add(() => isPage && removeEventListener("storage", onStorage));
  const core: Core = {
    get session() {
      const { session } = vault.entry;
      const status = session ? "signedIn" : isLoaded ? "signedOut" : "loading";
      const next: SessionState = { status, user: session?.user ?? null, sessionId: session?.id ?? null };
      if (JSON.stringify(state) !== JSON.stringify(next)) state = next;
      return state ?? next;
    },
    ready: Promise.resolve(loading ? loading.then(onLoaded) : onLoaded()),
    async login(username, password) {
      const answer = await service.call({ path: "oauth/token", body: { username, password } });
      const session = sessionOf(answer);
      if (!session) throw refusalOf(answer);
      await vault.begin(session);
      events.flush();
      return session.user;
    },
    async logout({ allDevices } = {}) {
      await vault.load();
      const { session } = vault.entry;
      if (session) await vault.end("signed_out");
      events.flush();
      if (!session) return "alreadyEnded";
      const { status, document } = await service.call({
        path: `oauth/token/revoke${allDevices ? "?allDevices=true" : ""}`,
        headers: { Authorization: `Bearer ${session.accessToken}` },
        body: { refresh_token: session.refreshToken },
        keepalive: true,
      });
      return status === 200 && document ? "revoked" : status === 401 ? "alreadyEnded" : "unreachable";
    },
    async refresh() {
      await look();
      return (await refresher.refresh()).user;
    },
    on: events.on,
    subscribe: events.onAny,
    dispose: () => disposers.forEach((dispose) => dispose()),
  };
  return { ...service, look, events, vault, refresher, disposers, core };
}
