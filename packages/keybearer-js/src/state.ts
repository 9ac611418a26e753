/** Who is signed in, for people who draw it. */

import type { User } from "./record.js";

/** Holds no token; the same object until something changes. */
export interface SessionState {
  readonly status: "loading" | "signedIn" | "signedOut";
  readonly user: User | null;
  readonly sessionId: string | null;
}
