/** Who is signed in, for people who draw it. */

import type { Entry, User } from "./record.js";

/** Holds no token; the same object until something changes. */
export interface SessionState {
  readonly status: "loading" | "signedIn" | "signedOut";
  readonly user: User | null;
  readonly sessionId: string | null;
}

/** Makes the state of an entry; the state of an equal one is the same object. */
export function createStates(): (entry: Entry, isLoaded: boolean) => SessionState {
  let known: SessionState | undefined;
  return ({ session }, isLoaded) => {
    const status = session ? "signedIn" : isLoaded ? "signedOut" : "loading";
    const state: SessionState = { status, user: session?.user ?? null, sessionId: session?.id ?? null };
    if (JSON.stringify(known) !== JSON.stringify(state)) known = state;
    return known ?? state;
  };
}
