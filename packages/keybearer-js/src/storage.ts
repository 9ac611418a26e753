/** Which storage the options choose. */

import type { Events } from "./events.js";
import type { TokenStorage } from "./vault.js";

export interface ChosenStorage {
  /** Undefined for memory. */
  readonly storage: TokenStorage | undefined;
  /** Whether other tabs may use it too, so that refreshes need the lock. */
  readonly isShared: boolean;
}

export function chooseStorage(
  choice: "local" | "session" | "memory" | TokenStorage | undefined,
  events: Events,
): ChosenStorage {
  if (typeof choice === "object") return { storage: choice, isShared: true };
  const name = choice ?? (typeof document === "undefined" ? "memory" : "local");
  if (name === "memory") return { storage: undefined, isShared: false };
  try {
    // Where storage is blocked, reading the property throws.
    return { storage: name === "local" ? localStorage : sessionStorage, isShared: name === "local" };
  } catch {
    events.emit("storageUnavailable", {});
    return { storage: undefined, isShared: false };
  }
}
