/** Where the tokens are kept, and what becomes of them where nothing can be kept. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { expect, onTestFinished, test } from "vitest";
import { ARGUMENTS, findChromium } from "../support/chromium.js";
import { startLab, type Opening } from "./lab.js";
import type { Tab } from "./tab.js";

const lab = startLab();

/** The keys in both storages. */
const keysOf = (tab: Tab) => tab.page.evaluate(() => [Object.keys(localStorage), Object.keys(sessionStorage)] as const);

const statusOf = (tab: Tab) => tab.page.evaluate(() => window.client.session.status);

test("C33: localStorage is shared by the tabs, and survives them", async () => {
  const context = await lab.openContext();
  const tab = await lab.openTab({ context });
  await tab.login();
  expect(await keysOf(tab)).toEqual([["keybearer"], []]);
  await tab.page.close();
  const later = await lab.openTab({ context });
  expect(await statusOf(later)).toBe("signedIn");
  expect(await later.send(lab.notes)).toEqual({ status: 200, body: [] });
});

test("C33: sessionStorage is the tab's own, and survives a reload", async () => {
  const context = await lab.openContext();
  const tab = await lab.openTab({ context, storage: "session" });
  await tab.login();
  expect(await keysOf(tab)).toEqual([[], ["keybearer"]]);
  await tab.page.reload();
  expect(await statusOf(tab)).toBe("signedIn");
  expect(await tab.refresh()).toBe("");
  expect(await tab.send(lab.notes)).toEqual({ status: 200, body: [] });
  expect(await statusOf(await lab.openTab({ context, storage: "session" }))).toBe("signedOut");
});

/** The back/forward cache keeps a page as it was left: no script of it runs, and no event tells it anything. */
test.each([
  ["in front", false],
  ["in the background", true],
])("C30: a page that comes back %s from the browser's cache reads the storage anew", async (_where, isHidden) => {
  const { context } = await lab.openProfile();
  const tab = await lab.openTab({ context });
  await tab.login();
  await tab.page.evaluate(() => {
    addEventListener("pageshow", ({ persisted }) => {
      Object.assign(window, { returned: { persisted, status: window.client.session.status } });
    });
  });
  await tab.page.goto(`${lab.stage.pages}/login`);
  expect(await tab.page.evaluate(() => window.client.logout())).toBe("revoked");
  if (isHidden) await lab.openTab({ context, url: "about:blank" });
  await tab.page.waitForFunction((hidden) => document.hidden === hidden, isHidden, { polling: 100 });
  await tab.page.goBack({ waitUntil: "commit" });
  await tab.page.waitForFunction(() => "returned" in window, undefined, { polling: 100 });
  expect(await tab.page.evaluate(() => (window as { returned?: unknown }).returned)).toEqual({
    persisted: true,
    status: "signedOut",
  });
});

test("C33: in memory nothing is written, and a reload forgets", async () => {
  const tab = await lab.openTab({ storage: "memory" });
  await tab.login();
  expect(await tab.refresh()).toBe("");
  expect(await tab.send(lab.notes)).toEqual({ status: 200, body: [] });
  expect(await keysOf(tab)).toEqual([[], []]);
  await tab.page.reload();
  expect(await statusOf(tab)).toBe("signedOut");
});

test("C33: applications that share an origin keep apart by their storageKey", async () => {
  const context = await lab.openContext();
  const one = await lab.openTab({ context, storageKey: "one" });
  const other = await lab.openTab({ context, storageKey: "other" });
  await one.login();
  expect(await statusOf(other)).toBe("signedOut");
  await other.login(lab.stage.users[1]);
  expect(await one.page.evaluate(() => window.client.session.user?.email)).toBe(lab.stage.users[0]?.username);
  await other.page.evaluate(() => window.client.logout());
  expect(await one.send(lab.notes)).toEqual({ status: 200, body: [] });
});

/** A profile whose owner lets no page store anything: Chromium's setting, as a person would set it. */
async function openBlocking(): Promise<Opening> {
  const folder = mkdtempSync(join(tmpdir(), "keybearer-blocking-"));
  mkdirSync(join(folder, "Default"));
  const preferences = { profile: { default_content_setting_values: { cookies: 2 } } };
  writeFileSync(join(folder, "Default", "Preferences"), JSON.stringify(preferences));
  const context = await chromium.launchPersistentContext(folder, {
    executablePath: findChromium(),
    args: [...ARGUMENTS],
  });
  onTestFinished(async () => {
    await context.close();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  return { context };
}

const FILL = `
  localStorage.clear();
  for (let size = 4_000_000; size >= 1; size = Math.floor(size / 2)) {
    try {
      for (let n = 0; ; n += 1) localStorage.setItem("fill" + size + "." + n, "x".repeat(size));
    } catch {
      // No room for a piece of this size.
    }
  }
`;

test.each<[string, () => Promise<Opening>]>([
  ["blocked by the browser's owner", openBlocking],
  ["full", () => Promise.resolve({ before: FILL })],
  ["throwing whatever is asked", () => Promise.resolve({ before: THROW })],
])(
  "C34: with a storage that is %s the tokens are in memory, with one warning and no exception",
  async (_how, opening) => {
    const tab = await lab.openTab(await opening());
    await tab.login();
    expect(await tab.refresh()).toBe("");
    expect(await tab.refresh()).toBe("");
    expect(await tab.send(lab.notes)).toEqual({ status: 200, body: [] });
    const told = (await tab.told()).map(({ name }) => name);
    expect(told.filter((name) => name !== "refreshed").sort()).toEqual(["signedIn", "storageUnavailable"]);
    expect(await tab.page.evaluate(() => window.client.logout())).toBe("revoked");
    expect(await statusOf(tab)).toBe("signedOut");
    expect(await tab.told("storageUnavailable")).toHaveLength(1);
  },
);

const THROW = `
  for (const name of ["getItem", "setItem", "removeItem"]) {
    Storage.prototype[name] = () => {
      throw new Error("No storage today.");
    };
  }
`;

const WHOLE = { version: 1, generation: 1, revision: 0, session: null };
const USER = { id: "1", email: null, firstName: null, lastName: null };
const SESSION = {
  id: "1",
  user: USER,
  accessToken: "a.b.c",
  refreshToken: "kbr",
  expiresAt: 9e12,
  lifetime: 9e5,
  clockOffset: 0,
};
const withTokens = (tokens: object): string => JSON.stringify({ ...WHOLE, session: { ...SESSION, ...tokens } });

test.each<[string, string]>([
  ["no JSON", "{"],
  ["half of a record", withTokens({}).slice(0, 100)],
  ["another shape", JSON.stringify(["keybearer"])],
  ["a megabyte", withTokens({ accessToken: "a".repeat(2 ** 20) })],
  ["a line break in a token", withTokens({ accessToken: "a.b\nc" })],
  ["NUL in a token", withTokens({ refreshToken: "kbr\0" })],
  ["an emoji in a token", withTokens({ accessToken: "a.🙂.c" })],
  ["U+2028 in a token", withTokens({ accessToken: "a.\u2028.c" })],
  ["a line break in an Idempotency-Key", withTokens({ idempotencyKey: `${"a".repeat(30)}\r\nb` })],
  ["a prototype for every object", '{"__proto__": {"session": null, "version": 1}, "constructor": {"prototype": {}}}'],
])("C35: a record with %s is removed, and nothing of it is sent", async (_what, record) => {
  const tab = await lab.openTab({ before: plant(record) });
  expect(await tab.told()).toMatchObject([{ name: "storageCorrupted", event: { newer: false } }]);
  expect(await statusOf(tab)).toBe("signedOut");
  expect(await keysOf(tab)).toEqual([[], ["planted"]]);
  expect(await tab.send(lab.notes)).toMatchObject({ status: 401 });
  expect(await tab.page.evaluate(() => "session" in {})).toBe(false);
  const [sent, ...more] = await lab.stage.journal({});
  expect(more).toEqual([]);
  expect(sent!.headers).not.toHaveProperty("authorization");
  await tab.login();
  await tab.page.reload();
  expect(await statusOf(tab)).toBe("signedIn");
});

/** Stores the record before the first page is loaded. */
function plant(record: string): string {
  return `
    if (!sessionStorage.getItem("planted")) localStorage.setItem("keybearer", ${JSON.stringify(record)});
    sessionStorage.setItem("planted", "yes");
  `;
}

test("C35: a record that a newer version has written is left alone", async () => {
  const record = JSON.stringify({ version: 2, secret: "of the future" });
  const tab = await lab.openTab({ before: plant(record) });
  expect(await tab.told()).toMatchObject([{ name: "storageCorrupted", event: { newer: true } }]);
  expect(await statusOf(tab)).toBe("signedOut");
  expect(await tab.page.evaluate(() => localStorage.getItem("keybearer"))).toBe(record);
});

test("C35: a record that is spoilt while the page is open signs out, and sends nothing of itself", async () => {
  const tab = await lab.openTab();
  await tab.login();
  await tab.page.evaluate(
    (record) => {
      localStorage.setItem("keybearer", record);
    },
    withTokens({ accessToken: "a\nb" }),
  );
  expect(await tab.send(lab.notes)).toMatchObject({ status: 401 });
  expect((await tab.told()).map(({ name }) => name)).toEqual(["signedIn", "signedOut", "storageCorrupted"]);
  const [sent] = await lab.stage.journal({ target: "api" });
  expect(sent!.headers).not.toHaveProperty("authorization");
});
