/** What listeners may do, and when they are called (C16, C18, C40). */
import { afterEach, describe, expect, test, vi } from "vitest";
import { FLAVOURS } from "./flavours.js";
import {
  EVENTS,
  logIn,
  NOTES,
  Notebook,
  open,
  REFRESH,
  refreshes,
  rejection,
  signedIn,
  UNAUTHORIZED,
  stageOfFile,
  type Opened,
  type SessionEvent,
} from "./staged.js";

const stage = stageOfFile();

afterEach(() => {
  vi.unstubAllGlobals();
});

/** Locks as a page has them, within this process. */
class Locks {
  isHeld = false;
  #queue = Promise.resolve();

  request(_name: string, _options: object, work: () => Promise<unknown>): Promise<unknown> {
    const held = this.#queue.then(async () => {
      this.isHeld = true;
      try {
        return await work();
      } finally {
        this.isHeld = false;
      }
    });
    this.#queue = held.then(
      () => undefined,
      () => undefined,
    );
    return held;
  }
}

/** What has to happen for an event to come; the session before it is that of the first user, and over. */
const occasions: Readonly<Record<SessionEvent, (opened: Opened) => Promise<unknown>>> = {
  signedIn: (opened) => logIn(stage, opened),
  refreshed: ({ keybearer }) => keybearer.refresh(),
  signedOut: ({ keybearer }) => keybearer.logout(),
  async sessionExpired({ keybearer }) {
    await stage.inject({ target: "auth", path: REFRESH, times: 1, action: UNAUTHORIZED });
    return rejection(keybearer.refresh());
  },
  async refreshUnavailable({ keybearer }) {
    await stage.inject({ target: "auth", path: REFRESH, times: 2, action: { kind: "drop_before" } });
    return rejection(keybearer.refresh());
  },
  retried({ send, notebook }) {
    notebook.spoil();
    return send(stage.api + NOTES);
  },
  storageCorrupted({ send, notebook }) {
    notebook.text = "{";
    return send(stage.api + NOTES);
  },
  storageUnavailable({ send, notebook }) {
    notebook.getItem = () => {
      throw new Error("blocked");
    };
    return send(stage.api + NOTES);
  },
};

describe.each(EVENTS)("%s", (name) => {
  const flavour = FLAVOURS[0]!;

  /** As in a page: with the storage that every tab has, and locks for it. */
  async function signedInWithLocks(locks: Locks): Promise<Opened> {
    const notebook = new Notebook();
    vi.stubGlobal("localStorage", notebook);
    vi.stubGlobal("navigator", { locks });
    return { ...(await signedIn(stage, flavour, { storage: "local" })), notebook };
  }

  test("C16: no listener is called while the lock across tabs is held", async () => {
    const locks = new Locks();
    const opened = await signedInWithLocks(locks);
    const request = vi.spyOn(locks, "request");
    const held: boolean[] = [];
    opened.keybearer.subscribe(() => held.push(locks.isHeld));
    await occasions[name](opened);
    expect(held.length).toBeGreaterThan(0);
    expect(held).not.toContain(true);
    expect(request.mock.calls.every(([lock]) => lock === "keybearer:keybearer")).toBe(true);
    if (name === "refreshed") expect(request).toHaveBeenCalledTimes(1);
  });

  test("C18: every public method may be called from a listener", async () => {
    const opened = await signedInWithLocks(new Locks());
    const { keybearer, send } = opened;
    let called: Promise<unknown> | undefined;
    const everything = async (): Promise<void> => {
      const settled: Promise<unknown>[] = [keybearer.ready, keybearer.profile(), keybearer.inspect()];
      settled.push(keybearer.sessions(), keybearer.refresh(), send(stage.api + NOTES));
      keybearer.on("signedIn", () => undefined)();
      keybearer.subscribe(() => undefined)();
      expect(keybearer.session.status).not.toBe("loading");
      await Promise.allSettled(settled);
      await keybearer.logout();
      await logIn(stage, opened, 1);
      keybearer.dispose();
    };
    keybearer.on(name, () => void (called ??= everything()));
    await occasions[name](opened);
    expect(called).toBeDefined();
    await called;
    expect(keybearer.session).toMatchObject({ status: "signedIn", user: { id: stage.users[1]!.id } });
  });

  test("C40: a listener that throws harms nobody", async () => {
    const warn = vi.spyOn(console, "warn").mockReturnValue(undefined);
    const opened = await signedIn(stage, flavour);
    const told: string[] = [];
    opened.keybearer.on(name, () => {
      told.push("first");
      throw new Error("of the listener");
    });
    opened.keybearer.on(name, () => told.push("second"));
    await occasions[name](opened);
    expect(told).toEqual(["first", "second"]);
    expect(opened.events).toContain(name);
    await expect.poll(() => warn.mock.calls).toHaveLength(1);
    warn.mockRestore();
  });

  test("C40: one that has unsubscribed is not told, nor is its like", async () => {
    const opened = await signedIn(stage, flavour);
    const told: string[] = [];
    const listener = (): void => void told.push("kept");
    const unsubscribe = opened.keybearer.on(name, listener);
    opened.keybearer.on(name, listener);
    unsubscribe();
    unsubscribe();
    await occasions[name](opened);
    expect(told).toEqual(["kept"]);
  });

  test("an option tells of it from the start", async () => {
    const told: unknown[] = [];
    const option = `on${name.charAt(0).toUpperCase()}${name.slice(1)}`;
    const opened = await open(stage, flavour, { [option]: (event: unknown) => told.push(event) });
    await logIn(stage, opened);
    if (name !== "signedIn") await occasions[name](opened);
    expect(told).toEqual([expect.any(Object)]);
  });
});

test("a listener that asks for a refresh gets a new one, not that which has just ended", async () => {
  const { keybearer } = await signedIn(stage, FLAVOURS[0]!);
  let second: Promise<unknown> | undefined;
  keybearer.on("refreshed", () => void (second ??= keybearer.refresh()));
  await keybearer.refresh();
  await second;
  expect(await refreshes(stage)).toHaveLength(2);
});

test("R6: the expiry of one client is news to another on the same storage, once", async () => {
  const one = await signedIn(stage, FLAVOURS[0]!);
  const other = await open(stage, FLAVOURS[0]!, { storage: one.notebook });
  await occasions.sessionExpired(one);
  const codes: unknown[] = [];
  other.keybearer.on("sessionExpired", ({ code }) => codes.push(code));
  expect((await other.send(stage.api + NOTES)).status).toBe(401);
  expect((await other.send(stage.api + NOTES)).status).toBe(401);
  expect(codes).toEqual([undefined]);
});
