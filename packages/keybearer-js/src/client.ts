/** The core, with what every transport shares: requests with both credentials, and a page's own behaviour. */

import { createParts, type Core, type CoreOptions, type Parts } from "./core.js";
import { ServiceUnavailableError } from "./errors.js";
import { createExchange, type Exchange } from "./exchange.js";
import { goToLogin } from "./login-page.js";
import { checkedOrigin, createBareWarning } from "./origins.js";
import { watchPage } from "./page.js";
import { fields, type User } from "./record.js";
import { refusalOf, resourceOf, type Answer } from "./service.js";

export interface KeybearerOptions extends CoreOptions {
  /** Origins beside the service's to which both credentials may go. */
  readonly origins?: readonly string[];
  /** Where the browser is sent when a session has expired, unless there is an `onSessionExpired`: `/login`. */
  readonly loginPage?: string;
  /** Whether tokens are refreshed before their end while the page is visible and online. Default: true. */
  readonly proactive?: boolean;
}

/** What the service says of the access token (token info); instants are RFC 3339. */
export interface TokenInfo {
  readonly id: string;
  readonly expiresIn: number;
  readonly issuedAt: string;
  readonly expiresAt: string;
  readonly userId: string;
  readonly applicationId: string;
  readonly sessionId: string;
  readonly claims: Readonly<Record<string, unknown>>;
}

/** A session of the user. */
export interface OwnSession {
  readonly id: string;
  readonly current: boolean;
  readonly applicationName: string;
  readonly createdAt: string;
  readonly lastUsedAt: string;
  readonly address: string;
  readonly agent: string;
}

export interface Profile extends User {
  readonly phone: string | null;
  readonly roles: readonly string[];
  readonly createdAt: string;
}

/** Each call carries both credentials, and is refreshed and retried like any request of the program's. */
export interface Keybearer extends Core {
  readonly inspect: () => Promise<TokenInfo>;
  readonly profile: () => Promise<Profile>;
  /** The user's sessions, newest first. */
  readonly sessions: () => Promise<OwnSession[]>;
  readonly endSession: (id: string) => Promise<void>;
  readonly endOtherSessions: () => Promise<void>;
}

export interface Client {
  readonly keybearer: Keybearer;
  readonly exchange: Exchange;
  /** Called by `dispose`. */
  readonly disposers: Set<() => void>;
}

/** A client, and the protocol for its transports. */
export function createClient(options: KeybearerOptions): Client {
  const parts = createParts({
    ...options,
    onSessionExpired:
      options.onSessionExpired ??
      (() => {
        goToLogin(options.loginPage ?? "/login");
      }),
  });
  const others = (options.origins ?? []).map((origin) => checkedOrigin(origin, options.insecureOrigins).origin);
  const origins = new Set([new URL(parts.base).origin, ...others]);
  const exchange = createExchange({ ...parts, origins, warnBare: createBareWarning() });
  if (typeof document === "object" && options.proactive !== false) watchPage(parts);
  return { keybearer: Object.assign(parts.core, createAccount(parts, exchange)), exchange, disposers: parts.disposers };
}

function createAccount({ call, base }: Parts, exchange: Exchange): Omit<Keybearer, keyof Core> {
  const send = async (method: string, path: string): Promise<unknown> => {
    const answer = await exchange<Answer>({
      url: new URL(`${base}/${path}`),
      isBare: false,
      isFinal: false,
      isReplayable: true,
      wait: (work) => work,
      send: (headers) => call({ method, path, headers }),
      documentOf: () => Promise.resolve(undefined),
      markRetried: () => undefined,
    });
    const { data } = fields(answer.document);
    if (answer.status >= 300) throw refusalOf(answer);
    // Whoever answers 200 with something else is not the service.
    if (answer.status !== 204 && typeof data !== "object") throw new ServiceUnavailableError();
    return data;
  };
  return {
    inspect: async () => resourceOf(await send("GET", "oauth/token/info")) as unknown as TokenInfo,
    profile: async () => resourceOf(await send("GET", "users/me")) as unknown as Profile,
    sessions: async () =>
      Object.values((await send("GET", "sessions")) as unknown[]).map(resourceOf) as unknown as OwnSession[],
    endSession: async (id) => {
      await send("DELETE", `sessions/${encodeURIComponent(id)}`);
    },
    endOtherSessions: async () => {
      await send("DELETE", "sessions");
    },
  };
}
