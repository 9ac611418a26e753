/** Only the waiting: what Web Locks do between tabs is tested in a browser. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { withLock } from "../../src/lock.js";

type Request = (name: string, options: { signal: AbortSignal }, work: () => Promise<unknown>) => Promise<unknown>;

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function stubLocks(request: Request): void {
  vi.stubGlobal("navigator", { locks: { request } });
}

/** As a lock that another tab holds: it is never granted, and the wait for it can be given up. */
const held: Request = (_name, { signal }) =>
  new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error));
  });

const granted: Request = (_name, _options, work) => Promise.resolve().then(work);

test("C16: the work is done under the lock of that name, once, and its result handed over", async () => {
  const request = vi.fn<Request>(granted);
  stubLocks(request);
  const work = vi.fn(() => Promise.resolve("done"));
  expect(await withLock("keybearer:x", 100, work)).toBe("done");
  expect(request).toHaveBeenCalledTimes(1);
  expect(request.mock.calls[0]![0]).toBe("keybearer:x");
  expect(request.mock.calls[0]![1]).not.toHaveProperty("steal");
  expect(work).toHaveBeenCalledTimes(1);
  expect(vi.getTimerCount()).toBe(0);
});

test("C16: after the wait the work is done without the lock", async () => {
  stubLocks(held);
  const work = vi.fn(() => Promise.resolve("done"));
  const result = withLock("x", 15_000, work);
  await vi.advanceTimersByTimeAsync(14_999);
  expect(work).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  expect(await result).toBe("done");
  expect(work).toHaveBeenCalledTimes(1);
});

test("C16: work that has begun is not given up when it takes longer than the wait", async () => {
  stubLocks(granted);
  const work = vi.fn(() => new Promise((resolve) => setTimeout(resolve, 60_000, "done")));
  const result = withLock("x", 15_000, work);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await result).toBe("done");
  expect(work).toHaveBeenCalledTimes(1);
});

test("what the work rejects with comes out, and frees the lock", async () => {
  const outcomes: unknown[] = [];
  stubLocks(async (name, options, work) => {
    const outcome = await granted(name, options, work);
    outcomes.push(outcome);
    return outcome;
  });
  const error = new Error("of the work");
  await expect(withLock("x", 100, () => Promise.reject(error))).rejects.toBe(error);
  expect(outcomes).toEqual([undefined]);
});

test.each<[string, object | undefined]>([
  ["there is no navigator", undefined],
  ["there are none", {}],
  [
    "they are refused",
    { locks: { request: () => Promise.reject(new DOMException("of the context", "SecurityError")) } },
  ],
  [
    "they throw",
    {
      locks: {
        request: () => {
          throw new DOMException("of the context", "InvalidStateError");
        },
      },
    },
  ],
])("C17: where Web Locks are missing, the work is done without: %s", async (_where, navigator) => {
  vi.stubGlobal("navigator", navigator);
  const work = vi.fn(() => Promise.resolve("done"));
  expect(await withLock("x", 100, work)).toBe("done");
  expect(work).toHaveBeenCalledTimes(1);
  expect(vi.getTimerCount()).toBe(0);
});
