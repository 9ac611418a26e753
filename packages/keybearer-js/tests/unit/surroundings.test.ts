import { afterEach, expect, test, vi } from "vitest";
import { after } from "../../src/surroundings.js";

afterEach(() => {
  vi.useRealTimers();
});

test.each([
  [5, 5],
  [2 ** 31 - 1, 2 ** 31 - 1],
  [2 ** 31, 2 ** 31 - 1],
  [90 * 86_400_000, 2 ** 31 - 1],
  [Infinity, 2 ** 31 - 1],
])("C32: a timer of %s ms fires after %s ms, never at once", (asked, fires) => {
  vi.useFakeTimers();
  const then = vi.fn();
  after(asked, then);
  vi.advanceTimersByTime(fires - 1);
  expect(then).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(then).toHaveBeenCalledTimes(1);
});
