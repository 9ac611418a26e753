/** Which storage the options choose. */

/** The part of `Storage` (localStorage) that is used. Each method may return a promise. */
export interface TokenStorage {
  getItem(key: string): string | null | Promise<string | null>;
  setItem(key: string, value: string): void | Promise<void>;
  removeItem(key: string): void | Promise<void>;
}

export type StorageChoice = "local" | "session" | "memory" | TokenStorage;

export interface ChosenStorage {
  /** Undefined for memory. Where storage is blocked, the call throws. */
  readonly open: (() => TokenStorage) | undefined;
  /** Whether other tabs may use it too, so that refreshes need the lock. */
  readonly isShared: boolean;
}

/** By default the storage that every tab has, in a page; memory elsewhere. */
export function chooseStorage(
  choice: StorageChoice = typeof document === "undefined" ? "memory" : "local",
): ChosenStorage {
  if (typeof choice === "object") return { open: () => choice, isShared: typeof document === "object" };
  if (choice === "local") return { open: () => localStorage, isShared: true };
  return { open: choice === "session" ? () => sessionStorage : undefined, isShared: false };
}
