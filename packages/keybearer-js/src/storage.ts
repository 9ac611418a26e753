/** Which storage the options choose. */

/** The part of `Storage` (localStorage) that is used. Each method may return a promise. */
export interface TokenStorage {
  getItem(key: string): string | null | Promise<string | null>;
  setItem(key: string, value: string): void | Promise<void>;
  removeItem(key: string): void | Promise<void>;
}

export type StorageChoice = "local" | "session" | "memory" | TokenStorage;

/** Undefined for memory. Where storage is blocked, the call throws. */
export type OpenStorage = (() => TokenStorage) | undefined;

export function opener(choice: StorageChoice): OpenStorage {
  if (typeof choice === "object") return () => choice;
  if (choice === "local") return () => localStorage;
  return choice === "session" ? () => sessionStorage : undefined;
}
