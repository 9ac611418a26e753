/** What differs between a page, a worker and Node. */

// setTimeout takes no more: beyond it a timer fires at once.
const LONGEST_TIMER = 2 ** 31 - 1;

export function after(milliseconds: number, then: () => void): ReturnType<typeof setTimeout> {
  return setTimeout(then, Math.min(milliseconds, LONGEST_TIMER));
}

/** Settles as `work` does. Its signal is aborted after so long, or by `abort`. */
export async function within<T>(
  milliseconds: number,
  work: (signal: AbortSignal, abort: () => void) => Promise<T>,
): Promise<T> {
  const patience = new AbortController();
  const abort = (): void => patience.abort();
  const timer = after(milliseconds, abort);
  try {
    return await work(patience.signal, abort);
  } finally {
    clearTimeout(timer);
  }
}

/** A browser, in which redirects are followed by themselves: a page or a worker. */
export function isBrowser(): boolean {
  return typeof location === "object";
}

/** What relative URLs are relative to. */
export function baseOfPage(): string {
  return typeof document === "object" ? document.baseURI : isBrowser() ? location.href : "http://localhost";
}
