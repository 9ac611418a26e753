/** One at a time in all tabs of the origin, where Web Locks exist. */

import { after } from "./surroundings.js";

/**
 * Runs `work` under the lock `name`. After `wait` milliseconds, or without Web Locks, it runs without: a tab that is
 * frozen in a refresh holds nobody up for longer, and the service answers both with the same token. Never steals.
 */
export async function withLock<T>(name: string, wait: number, work: () => Promise<T>): Promise<T> {
  const locks = (globalThis as { navigator?: { locks?: LockManager } }).navigator?.locks;
  if (!locks) return work();
  const patience = new AbortController();
  const timer = after(wait, () => {
    patience.abort();
  });
  let running: Promise<T> | undefined;
  try {
    await locks.request(name, { signal: patience.signal }, () => {
      clearTimeout(timer);
      running = work();
      return running.catch(() => undefined);
    });
  } catch {
    // Waited too long, or a context in which locks are refused.
  } finally {
    clearTimeout(timer);
  }
  return running ?? work();
}
