/** Where the tokens are kept, and what may stand there (C33-C35). */
import { describe, expect, test } from "vitest";
import { isToken, type Entry } from "../../src/record.js";
import type { TokenStorage } from "../../src/storage.js";
import { FLAVOURS } from "./flavours.js";
import {
  bearer,
  logIn,
  LOGIN,
  NOTES,
  Notebook,
  open,
  REFRESH,
  refreshes,
  rejection,
  signedIn,
  stageOfFile,
  type Opened,
} from "./staged.js";

const stage = stageOfFile();
const flavour = FLAVOURS[0]!;

/** A storage that answers later, each call as late as the test says. */
class Later implements TokenStorage {
  readonly notebook = new Notebook();
  readonly calls: string[] = [];
  wait: (call: string) => Promise<unknown> = () => new Promise((resolve) => setTimeout(resolve, 2));

  async getItem(): Promise<string | null> {
    const text = this.notebook.getItem();
    await this.wait("getItem");
    return text;
  }

  async setItem(key: string, value: string): Promise<void> {
    await this.wait("setItem");
    this.notebook.setItem(key, value);
    this.calls.push(key);
  }

  async removeItem(): Promise<void> {
    await this.wait("removeItem");
    this.notebook.removeItem();
  }
}

async function keepsTheProtocol(opened: Opened, notebook: Notebook): Promise<void> {
  const { keybearer, send } = opened;
  await logIn(stage, opened);
  expect(notebook.session.user.id).toBe(stage.users[0]!.id);
  notebook.spoil();
  const { refreshToken } = notebook.session;
  const sent = await Promise.all(Array.from({ length: 10 }, () => send(stage.api + NOTES)));
  expect(sent.map(({ status }) => status)).toEqual(Array(10).fill(200));
  expect(await refreshes(stage)).toHaveLength(1);
  expect(notebook.session.refreshToken).not.toBe(refreshToken);

  const reloaded = await open(stage, flavour, { storage: notebook });
  await reloaded.keybearer.ready;
  expect(reloaded.keybearer.session).toEqual(keybearer.session);
  await reloaded.keybearer.logout();
  expect((await send(stage.api + NOTES)).status).toBe(401);
  expect(keybearer.session.status).toBe("signedOut");
}

describe("C33", () => {
  test("a storage that answers at once", async () => {
    const opened = await open(stage, flavour);
    expect(opened.keybearer.session.status).toBe("signedOut");
    await keepsTheProtocol(opened, opened.notebook);
  });

  test("a storage that answers later", async () => {
    const storage = new Later();
    const opened = await open(stage, flavour, { storage });
    expect(opened.keybearer.session.status).toBe("loading");
    await opened.keybearer.ready;
    expect(opened.keybearer.session.status).toBe("signedOut");
    await keepsTheProtocol(opened, storage.notebook);
    expect(new Set(storage.calls)).toEqual(new Set(["keybearer"]));
  });

  test("memory, the default of Node", async () => {
    const { keybearer, send } = await open(stage, flavour, { storage: "memory" });
    await logIn(stage, { keybearer });
    await keybearer.refresh();
    expect((await send(stage.api + NOTES)).status).toBe(200);
    expect(keybearer.session.status).toBe("signedIn");
  });

  test("a session that is stored is found at once, or when it has been read", async () => {
    const { notebook } = await signedIn(stage, flavour);
    const atOnce = await open(stage, flavour, { storage: notebook });
    expect(atOnce.keybearer.session).toMatchObject({ status: "signedIn", user: { id: stage.users[0]!.id } });
    const storage = new Later();
    storage.notebook.text = notebook.text;
    const later = await open(stage, flavour, { storage });
    expect((await later.send(stage.api + NOTES)).status).toBe(200);
    expect(later.keybearer.session.status).toBe("signedIn");
  });

  test("what is asked before a slow storage has been read is asked for the session in it", async () => {
    const { notebook } = await signedIn(stage, flavour);
    for (const ask of ["refresh", "profile", "logout"] as const) {
      const storage = new Later();
      storage.notebook.text = notebook.text;
      const { keybearer } = await open(stage, flavour, { storage });
      expect(await keybearer[ask]()).toEqual(
        ask === "logout" ? "revoked" : expect.objectContaining({ id: stage.users[0]!.id }),
      );
      notebook.text = storage.notebook.text;
    }
  });

  test("a read that began before a login, and ends after it, does not undo it", async () => {
    const storage = new Later();
    const opened = await open(stage, flavour, { storage });
    await opened.keybearer.ready;
    let goOn: ((value?: unknown) => void) | undefined;
    storage.wait = (call) => {
      if (call !== "getItem" || goOn) return Promise.resolve();
      return new Promise((resolve) => (goOn = resolve));
    };
    const slow = opened.send(stage.api + NOTES);
    await logIn(stage, opened);
    goOn?.();
    expect((await slow).status).toBe(200);
    expect(opened.keybearer.session.status).toBe("signedIn");
    expect(storage.notebook.entry.session).not.toBeNull();
  });

  test("every record that is written is whole: the tokens of one answer, and a generation that never falls", async () => {
    const records: Entry[] = [];
    const notebook = new Notebook();
    const setItem = notebook.setItem.bind(notebook);
    notebook.setItem = (key, text) => {
      records.push(JSON.parse(text) as Entry);
      setItem(key, text);
    };
    const opened = await open(stage, flavour, { storage: notebook });
    await logIn(stage, opened);
    for (let refresh = 0; refresh < 3; refresh += 1) await opened.keybearer.refresh();
    await opened.keybearer.logout();
    await logIn(stage, opened, 1);
    const generations = records.map(({ generation }) => generation);
    expect(generations).toEqual([...generations].sort((a, b) => a - b));
    expect(new Set(generations).size).toBe(3);
    const pairs = records.flatMap(({ session }) => (session ? [`${session.accessToken} ${session.refreshToken}`] : []));
    expect(new Set(pairs).size).toBe(5);
  });

  test("another name of the record is another session", async () => {
    const records = new Map<string, string>();
    const storage: TokenStorage = {
      getItem: (key) => records.get(key) ?? null,
      setItem: (key, value) => void records.set(key, value),
      removeItem: (key) => void records.delete(key),
    };
    const one = await open(stage, flavour, { storage, storageKey: "one" });
    const other = await open(stage, flavour, { storage, storageKey: "other" });
    await logIn(stage, one, 0);
    await logIn(stage, other, 1);
    expect(await one.keybearer.profile()).toMatchObject({ id: stage.users[0]!.id });
    expect(await other.keybearer.profile()).toMatchObject({ id: stage.users[1]!.id });
    expect([...records.keys()]).toEqual(["one", "other"]);
  });
});

describe("C34: memory instead, one warning and no exception, when the storage", () => {
  const fail = (): never => {
    throw new DOMException("of the storage", "QuotaExceededError");
  };
  const reject = (): Promise<never> => Promise.reject(new Error("of the storage"));
  const none = (): null => null;
  const ignore = (): void => undefined;
  const storages: readonly [what: string, storage: TokenStorage][] = [
    ["throws", { getItem: fail, setItem: fail, removeItem: fail }],
    ["rejects", { getItem: reject, setItem: reject, removeItem: reject }],
    ["is full", { getItem: none, setItem: fail, removeItem: ignore }],
    ["cannot be read", { getItem: fail, setItem: ignore, removeItem: ignore }],
    ["is no storage", {} as TokenStorage],
  ];
  test.each(storages)("%s", async (_what, storage) => {
    const opened = await open(stage, flavour, { storage });
    const { keybearer, send, events } = opened;
    await logIn(stage, opened);
    await keybearer.refresh();
    expect((await send(stage.api + NOTES)).status).toBe(200);
    expect(keybearer.session.status).toBe("signedIn");
    expect(await keybearer.logout()).toBe("revoked");
    expect(events.filter((name) => name === "storageUnavailable").length).toBeLessThanOrEqual(1);
    expect(events.filter((name) => name !== "storageUnavailable")).toEqual(["signedIn", "refreshed", "signedOut"]);
  });

  test("fails from some day on", async () => {
    const { keybearer, send, notebook, events } = await signedIn(stage, flavour);
    notebook.setItem = fail;
    notebook.getItem = fail;
    await keybearer.refresh();
    expect((await send(stage.api + NOTES)).status).toBe(200);
    expect(events).toEqual(["storageUnavailable", "refreshed"]);
  });
});

describe("C35: a record that is malformed is removed, and nobody is signed in:", () => {
  const good = new Notebook();

  function changed(members: object): string {
    return JSON.stringify({ ...good.entry, ...members });
  }

  function changedSession(members: object): string {
    return changed({ session: { ...good.session, ...members } });
  }

  const strange = [
    "tok\nen",
    "tok\r\nX-Injected: 1",
    "tok\0en",
    "tök",
    "🔑",
    "\u2028",
    " ",
    "a b",
    "",
    "x".repeat(8193),
  ];
  const alphabet = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code)).filter(
    (char): boolean => !isToken(char),
  );

  const records: readonly [what: string, text: () => string][] = [
    ["an empty text", () => ""],
    ["no JSON", () => "keybearer"],
    ["null", () => "null"],
    ["a number", () => "7"],
    ["a list", () => JSON.stringify([good.entry])],
    ["a text", () => JSON.stringify("kbr_x")],
    ["an empty object", () => "{}"],
    ["no version", () => changed({ version: undefined })],
    ["version 0", () => changed({ version: 0 })],
    ["a version in letters", () => changed({ version: "1" })],
    ["a newer version in letters", () => changed({ version: "2" })],
    ["a negative generation", () => changed({ generation: -1 })],
    ["a generation that is no number", () => changed({ generation: "0" })],
    ["a revision that is no whole number", () => changed({ revision: 0.5 })],
    ["a generation beyond whole numbers", () => changed({ generation: 2 ** 53 })],
    ["no session member", () => changed({ session: undefined })],
    ["a session that is a text", () => changed({ session: "kbr_x" })],
    ["a session without its user", () => changedSession({ user: null })],
    ["a user without an id", () => changedSession({ user: { email: "user@example.com" } })],
    ["an expiry that is no number", () => changedSession({ expiresAt: "soon" })],
    ["an expiry beyond numbers", () => changedSession({}).replace(/"expiresAt":\d+/, '"expiresAt":1e999')],
    ["no lifetime", () => changedSession({ lifetime: undefined })],
    ["no refresh token", () => changedSession({ refreshToken: undefined })],
    ["an access token that is a list", () => changedSession({ accessToken: [good.session.accessToken] })],
    ["1 MB", () => changedSession({ accessToken: "x".repeat(1_048_576) })],
    ["1 MB after a good record", () => good.text! + " ".repeat(1_048_576)],
    ["members that reach for prototypes", () => `{"__proto__": ${good.text!}, "constructor": {"prototype": {"a": 1}}}`],
    ["a session by way of a prototype", () => `{"version":1,"generation":1,"revision":0,"__proto__":{"session":null}}`],
    ["an Idempotency-Key with a line break", () => changedSession({ idempotencyKey: "a\nb" })],
    ["an Idempotency-Key that the service would refuse", () => changedSession({ idempotencyKey: "x".repeat(21) })],
    ...[0.1, 0.5, 0.9, 0.999].map((part): [string, () => string] => [
      `${part} of a record`,
      () => good.text!.slice(0, Math.floor(good.text!.length * part)),
    ]),
    ...strange.map((token): [string, () => string] => [
      `the access token ${JSON.stringify(token.slice(0, 20))}`,
      () => changedSession({ accessToken: token }),
    ]),
    ...strange.map((token): [string, () => string] => [
      `the refresh token ${JSON.stringify(token.slice(0, 20))}`,
      () => changedSession({ refreshToken: token }),
    ]),
  ];

  async function isForgotten(text: string): Promise<void> {
    const notebook = new Notebook();
    notebook.text = text;
    const told: unknown[] = [];
    const onStorageCorrupted = (event: unknown): void => void told.push(event);
    const opened = await open(stage, flavour, { storage: notebook, onStorageCorrupted });
    expect(told).toEqual([{ newer: false }]);
    expect(notebook.text).toBeNull();
    expect(opened.keybearer.session).toEqual({ status: "signedOut", user: null, sessionId: null });
    expect((await opened.send(stage.api + NOTES)).status).toBe(401);
    const [hit, ...more] = await stage.journal();
    expect(more).toEqual([]);
    expect(hit!.headers).not.toHaveProperty("authorization");
    expect(hit!.headers["api-key"]).toBe(stage.publishableKey);
    expect(Object.keys(Object.prototype)).toEqual([]);
  }

  test.each(records)("%s", async (_what, text) => {
    good.text ??= (await signedIn(stage, flavour)).notebook.text;
    await stage.clearJournal();
    await isForgotten(text());
  });

  test("every character of ASCII outside the alphabet", async () => {
    good.text ??= (await signedIn(stage, flavour)).notebook.text;
    expect(alphabet).toHaveLength(128 - 26 - 26 - 10 - 3);
    for (const char of alphabet) {
      await stage.clearJournal();
      await isForgotten(changedSession({ accessToken: `a${char}b` }));
    }
  });

  test("one that a running client comes upon: the requests after it go out without a bearer token", async () => {
    const { send, keybearer, notebook, events } = await signedIn(stage, flavour);
    notebook.change({ accessToken: "tok\nen" });
    expect((await send(stage.api + NOTES)).status).toBe(401);
    expect(keybearer.session.status).toBe("signedOut");
    expect(notebook.text).toBeNull();
    expect(events).toEqual(["signedOut", "storageCorrupted"]);
    const [hit] = await stage.journal();
    expect(hit!.headers).not.toHaveProperty("authorization");
    await logIn(stage, { keybearer });
    expect((await send(stage.api + NOTES)).status).toBe(200);
  });

  test("one of a newer version is left as it is, and nobody is signed in", async () => {
    good.text ??= (await signedIn(stage, flavour)).notebook.text;
    const notebook = new Notebook();
    const text = changed({ version: 2, session: { tokens: "elsewhere" } });
    notebook.text = text;
    const told: unknown[] = [];
    const opened = await open(stage, flavour, { storage: notebook, onStorageCorrupted: (event) => told.push(event) });
    expect((await opened.send(stage.api + NOTES)).status).toBe(401);
    expect(await rejection(opened.keybearer.refresh())).toMatchObject({ code: "session_expired" });
    expect(told).toEqual([{ newer: true }]);
    expect(notebook.text).toBe(text);
    expect(opened.keybearer.session.status).toBe("signedOut");
  });
});

test("a token with a line break is never stored, nor sent (axios would send it without the break)", async () => {
  const attributes = { accessToken: "tok\nen", refreshToken: "kbr_x", expiresIn: 900, sessionId: "s" };
  const document = { data: { id: "u", type: "session", attributes } };
  for (const path of [LOGIN, REFRESH]) {
    const { keybearer, notebook, send } = await signedIn(stage, flavour);
    const before = notebook.session;
    await stage.inject({ target: "auth", path, action: { kind: "answer", status: 200, body: document } });
    const { username, password } = stage.users[0]!;
    const error = await rejection(path === LOGIN ? keybearer.login(username, password) : keybearer.refresh());
    expect(error).toMatchObject({ code: path === LOGIN ? "service_unavailable" : "refresh_unavailable" });
    expect(notebook.session.accessToken).toBe(before.accessToken);
    await send(stage.api + NOTES);
    const [hit] = await stage.journal({ target: "api" });
    expect(hit!.headers.authorization).toBe(bearer(before.accessToken));
    await stage.clearFaults();
    await stage.clearJournal();
  }
});
