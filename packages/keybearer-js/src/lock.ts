/** One at a time in all tabs of the origin, where Web Locks exist. */

import { within } from "./surroundings.js";

/**
 * Runs `work` under the lock `name`. After `wait` milliseconds, or without Web Locks, it runs without: a tab that is
 * frozen in a refresh holds nobody up for longer, and the service answers both with the same token. Never steals.
 */
export async function withLock<T>(name: string, wait: number, work: () => Promise<T>): Promise<T> {
  let running: Promise<T> | undefined;
  try {
    await within(wait, (signal) =>
      navigator.locks.request(name, { signal }, () => {
        running = work();
        return running.catch(() => undefined);
      }),
    );
  } catch {
    // There are none, or they are refused here; or another tab has had it for too long.
  }
  return running ?? work();
}
