import { expect, test } from "vitest";
import { createEvents, type Events } from "../../src/events.js";
import { compare, SIGNED_OUT, type Entry, type Session } from "../../src/record.js";
import type { TokenStorage } from "../../src/storage.js";
import { createVault, type Vault } from "../../src/vault.js";

const KEY = "keybearer";

class Shelf implements TokenStorage {
  text: string | null = null;

  getItem(): string | null {
    return this.text;
  }

  setItem(_key: string, value: string): void {
    this.text = value;
  }

  removeItem(): void {
    this.text = null;
  }

  get entry(): Entry {
    return JSON.parse(this.text ?? "null") as Entry;
  }
}

/** A storage whose calls answer when the test says so, in any order; each does its work at its end, or at its start. */
class Slow implements TokenStorage {
  readonly shelf = new Shelf();
  readonly pending: (() => void)[] = [];

  getItem(): Promise<string | null> {
    const { text } = this.shelf;
    return this.#later(() => text);
  }

  setItem(key: string, value: string): Promise<void> {
    return this.#later(() => this.shelf.setItem(key, value));
  }

  removeItem(): Promise<void> {
    return this.#later(() => this.shelf.removeItem());
  }

  #later<T>(work: () => T): Promise<T> {
    return new Promise((resolve) => this.pending.push(() => resolve(work())));
  }

  /** Lets the call go on that has waited longest, or the one at `index`. */
  async answer(index = 0): Promise<void> {
    this.pending.splice(index, 1)[0]?.();
    await new Promise((resolve) => setTimeout(resolve));
  }
}

function session(name: string): Session {
  const user = { id: `user-${name}`, email: null, firstName: null, lastName: null };
  const tokens = { accessToken: `access-${name}`, refreshToken: `refresh-${name}` };
  return { id: `session-${name}`, user, ...tokens, expiresAt: 1_800_000_000_000, lifetime: 900_000, clockOffset: 0 };
}

interface Tab {
  readonly vault: Vault;
  readonly events: Events;
  /** The names of the events so far. */
  readonly told: () => string[];
}

function tab(storage: TokenStorage): Tab {
  const events = createEvents();
  const names: string[] = [];
  for (const name of ["signedIn", "refreshed", "signedOut", "sessionExpired", "storageCorrupted"] as const) {
    events.on(name, () => names.push(name));
  }
  const told = (): string[] => {
    events.flush();
    return names;
  };
  return { vault: createVault(() => storage, KEY, events), events, told };
}

function tokensOf({ vault }: Tab): string | undefined {
  return vault.entry.session?.accessToken;
}

test("C33: what one tab stores, another takes over", async () => {
  const shelf = new Shelf();
  const [one, other] = [tab(shelf), tab(shelf)];
  await one.vault.begin(session("a"));
  await other.vault.load();
  await one.vault.renew(session("a2"));
  await other.vault.load();
  await other.vault.load();
  expect(tokensOf(other)).toBe("access-a2");
  await one.vault.end("signed_out");
  await other.vault.load();
  expect(other.vault.entry).toMatchObject({ session: null, ended: "signed_out" });
  expect(other.told()).toEqual(["signedIn", "refreshed", "signedOut"]);
  expect(one.told()).toEqual(other.told());
});

test("C19: another tab's late write of what is over is put right", async () => {
  const shelf = new Shelf();
  const one = tab(shelf);
  await one.vault.begin(session("a"));
  const before = shelf.text;
  await one.vault.end("signed_out");
  shelf.text = before;
  await one.vault.load();
  expect(one.vault.entry.session).toBeNull();
  expect(shelf.entry).toMatchObject({ session: null, ended: "signed_out" });
  expect(one.told()).toEqual(["signedIn", "signedOut"]);
});

test("C19, C28: whoever takes over a login or new tokens knows that what it had before is over", async () => {
  const shelf = new Shelf();
  const [one, other] = [tab(shelf), tab(shelf)];
  await one.vault.begin(session("a"));
  for (const change of [() => one.vault.renew(session("a2")), () => one.vault.begin(session("b"))]) {
    await other.vault.load();
    const known = other.vault.entry;
    await change();
    await other.vault.load();
    expect(compare(other.vault.entry, known)).toBeGreaterThan(0);
  }
  expect(tokensOf(other)).toBe("access-b");
  expect(other.told()).toEqual(["signedIn", "refreshed", "signedIn"]);
});

test("a session that the service has ended is over for every tab; only the one that met the refusal knows the code", async () => {
  const shelf = new Shelf();
  const [one, other] = [tab(shelf), tab(shelf)];
  const codes: unknown[] = [];
  for (const { events } of [one, other]) events.on("sessionExpired", ({ code }) => codes.push(code));
  await one.vault.begin(session("a"));
  await other.vault.load();
  await one.vault.end("expired", "refresh_token_reused");
  await other.vault.load();
  expect(shelf.entry).toMatchObject({ session: null, ended: "expired" });
  expect(one.told()).toEqual(["signedIn", "sessionExpired"]);
  expect(other.told()).toEqual(one.told());
  expect(codes).toEqual(["refresh_token_reused", undefined]);
});

test("C24a: the Idempotency-Key is stored, kept for the repeats, and gone with new tokens", async () => {
  const shelf = new Shelf();
  const [one, other] = [tab(shelf), tab(shelf)];
  await one.vault.begin(session("a"));
  expect(await one.vault.idempotencyKey("1".repeat(22))).toBe("1".repeat(22));
  expect(shelf.entry.session?.idempotencyKey).toBe("1".repeat(22));
  expect(await one.vault.idempotencyKey("2".repeat(22))).toBe("1".repeat(22));
  await other.vault.load();
  expect(await other.vault.idempotencyKey("3".repeat(22))).toBe("1".repeat(22));
  await other.vault.renew(session("a2"));
  expect(shelf.entry.session).not.toHaveProperty("idempotencyKey");
  expect(other.told()).toEqual(["signedIn", "refreshed"]);
});

test("a storage that was cleared has ended the session; what is written afterwards is newer than what tabs remember", async () => {
  const shelf = new Shelf();
  const [one, other] = [tab(shelf), tab(shelf)];
  await one.vault.begin(session("a"));
  await one.vault.begin(session("b"));
  await one.vault.begin(session("c"));
  await other.vault.load();
  shelf.text = null;
  await one.vault.load();
  expect(one.vault.entry.session).toBeNull();
  await new Promise((resolve) => setTimeout(resolve, 5)); // Nobody logs in four times within a millisecond.
  const fresh = tab(shelf);
  await fresh.vault.begin(session("d"));
  await other.vault.load();
  await one.vault.load();
  expect([tokensOf(one), tokensOf(other)]).toEqual(["access-d", "access-d"]);
  expect(shelf.entry.session?.accessToken).toBe("access-d");
});

test("C35: a corrupted record is removed; one of a newer version is left", async () => {
  const shelf = new Shelf();
  shelf.text = "{";
  const one = tab(shelf);
  await one.vault.load();
  expect(shelf.text).toBeNull();
  shelf.text = '{"version":2}';
  await one.vault.load();
  expect(shelf.text).toBe('{"version":2}');
  expect(one.told()).toEqual(["storageCorrupted", "storageCorrupted"]);
  expect(one.vault.entry).toMatchObject({ session: null, version: SIGNED_OUT.version });
});

/** Of a slow storage: in which order its calls are answered must not matter. */
test.each([
  ["a read before the write of a login and answered after it", "before"],
  ["a read during the write of a login and answered after it", "during"],
])("C33: %s does not undo the login", async (_what, when) => {
  const slow = new Slow();
  const one = tab(slow);
  const reading = when === "before" ? one.vault.load() : undefined;
  const login = one.vault.begin(session("a"));
  await slow.answer(slow.pending.length - 1); // The read that a login begins with.
  const late = reading ?? one.vault.load();
  await slow.answer(when === "before" ? 1 : 0); // The write.
  await login;
  expect(slow.shelf.entry.session?.accessToken).toBe("access-a");
  await slow.answer();
  await late;
  expect(tokensOf(one)).toBe("access-a");
  expect(slow.shelf.entry.session?.accessToken).toBe("access-a");
});

test("C24a: the Idempotency-Key stays for as long as the refresh token does", async () => {
  const shelf = new Shelf();
  const vault = createVault(() => shelf, KEY, createEvents());
  await vault.begin(session("a"));
  const key = await vault.idempotencyKey("1".repeat(22));
  await vault.renew({ ...session("a"), accessToken: "access-b" });
  expect(shelf.entry.session).toMatchObject({ accessToken: "access-b", idempotencyKey: key });
  await vault.renew(session("c"));
  expect(shelf.entry.session).not.toHaveProperty("idempotencyKey");
});
