/** `keybearer/react`: who is signed in, in every component. */

import { createContext, createElement, useContext, useMemo, useSyncExternalStore, type ReactNode } from "react";
import type { Core } from "./core.js";
import { ConfigurationError } from "./errors.js";
import type { SessionState } from "./state.js";

const Context = createContext<Core | null>(null);

export interface KeybearerProviderProps {
  readonly client: Core;
  readonly children?: ReactNode;
}

/** Gives the components below it the client. It starts nothing and ends nothing: `client` is the program's. */
export function KeybearerProvider({ client, children }: KeybearerProviderProps): ReactNode {
  return createElement(Context.Provider, { value: client }, children);
}

/** The client of the provider above. Throws ConfigurationError without one. */
export function useKeybearer(): Core {
  const client = useContext(Context);
  if (!client)
    throw new ConfigurationError("No KeybearerProvider above this component. Put one around the application.");
  return client;
}

export interface UsedSession extends SessionState {
  readonly login: Core["login"];
  readonly logout: Core["logout"];
}

const ON_THE_SERVER: SessionState = Object.freeze({ status: "loading", user: null, sessionId: null });

/** Who is signed in; the component is drawn anew when that changes, in whatever tab it changed. */
export function useSession(): UsedSession {
  const client = useKeybearer();
  const state = useSyncExternalStore(
    client.subscribe,
    () => client.session,
    () => ON_THE_SERVER,
  );
  return useMemo(() => ({ ...state, login: client.login, logout: client.logout }), [client, state]);
}
