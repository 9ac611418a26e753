import { afterEach, expect, test, vi } from "vitest";
import { createEvents } from "../../src/events.js";

const NONE = {};

afterEach(() => {
  vi.restoreAllMocks();
});

function raise(): never {
  throw new Error("of the listener");
}

test("C16: nothing is told before it is flushed, and then everything in order, once", () => {
  const events = createEvents();
  const told: unknown[] = [];
  events.on("retried", ({ path }) => told.push(path));
  events.on("storageUnavailable", () => told.push("unavailable"));
  events.emit("retried", { origin: "o", path: "/1" });
  events.emit("storageUnavailable", NONE);
  events.emit("retried", { origin: "o", path: "/2" });
  expect(told).toEqual([]);
  events.flush();
  events.flush();
  expect(told).toEqual(["/1", "unavailable", "/2"]);
});

test("a listener of any event is told of each", () => {
  const events = createEvents();
  const listener = vi.fn();
  const unsubscribe = events.onAny(listener);
  events.emit("storageUnavailable", NONE);
  events.emit("storageCorrupted", { newer: true });
  events.flush();
  expect(listener).toHaveBeenCalledTimes(2);
  unsubscribe();
  events.emit("storageUnavailable", NONE);
  events.flush();
  expect(listener).toHaveBeenCalledTimes(2);
});

test("C18: an event that a listener sets off is told after those that were waiting", () => {
  const events = createEvents();
  const told: string[] = [];
  events.on("storageUnavailable", () => {
    told.push("first");
    events.emit("storageCorrupted", { newer: false });
    events.flush();
  });
  events.on("storageCorrupted", () => told.push("set off"));
  events.on("retried", () => told.push("waiting"));
  events.emit("storageUnavailable", NONE);
  events.emit("retried", { origin: "o", path: "/" });
  events.flush();
  expect(told).toEqual(["first", "waiting", "set off"]);
});

test.each<[string, () => unknown]>([
  ["throws", raise],
  ["rejects", () => Promise.resolve().then(raise)],
])("C40: a listener that %s keeps nothing from the others, nor from the events after it", async (_how, listener) => {
  const warn = vi.spyOn(console, "warn").mockReturnValue(undefined);
  const events = createEvents();
  const told: string[] = [];
  events.on("storageUnavailable", listener);
  events.on("storageUnavailable", () => told.push("second"));
  events.on("retried", () => told.push("after"));
  events.emit("storageUnavailable", NONE);
  events.emit("retried", { origin: "o", path: "/" });
  events.flush();
  expect(told).toEqual(["second", "after"]);
  await expect.poll(() => warn.mock.calls).toHaveLength(1);
});

test("C40: one subscription ends at a time, even while its listeners are told", () => {
  const events = createEvents();
  const told: string[] = [];
  const listener = (): void => {
    told.push("told");
    ends[0]?.();
  };
  const ends = [events.on("storageUnavailable", listener), events.on("storageUnavailable", listener)];
  events.emit("storageUnavailable", NONE);
  events.flush();
  told.length = 0;
  ends[0]?.();
  events.emit("storageUnavailable", NONE);
  events.flush();
  expect(told).toEqual(["told"]);
});
