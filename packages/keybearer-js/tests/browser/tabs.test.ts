/** Several tabs of one profile: one refresh, one session, one mind about who is signed in. */
import type { BrowserContext } from "playwright-core";
import { expect, test } from "vitest";
import { freeze } from "../support/profile.js";
import { PATIENCE, REFRESH, REVOKE, startLab, type Opening } from "./lab.js";
import type { Told } from "./program.page.js";
import type { Tab } from "./tab.js";

/** Seconds. */
const RETRY_WINDOW = 5;

/** Milliseconds: a second more than the wait for the lock, and what a busy machine takes besides. */
const LONGEST_WAIT = 20_000;

const WITHOUT_LOCKS = `Object.defineProperty(Navigator.prototype, "locks", { get: () => undefined });`;

const lab = startLab({ KEYBEARER_REFRESH_RETRY_WINDOW: String(RETRY_WINDOW) });

async function openTabs(count: number, opening: Opening & { context: BrowserContext }): Promise<[Tab, Tab, ...Tab[]]> {
  const tabs: Tab[] = [];
  while (tabs.length < count) tabs.push(await lab.openTab(opening));
  await tabs[0]!.login();
  return tabs as [Tab, Tab, ...Tab[]];
}

/** Spoils the token in all tabs: what one stores reaches the others a little later. */
async function spoilToken(tabs: readonly Tab[]): Promise<void> {
  await tabs[0]!.spoilToken();
  const spoilt = await tabs[0]!.stored();
  for (const tab of tabs) await expect.poll(() => tab.stored(), PATIENCE).toEqual(spoilt);
}

/** Each tab's request, all at the same time; the bearers that were accepted. */
async function sendFromAll(tabs: readonly Tab[]): Promise<Set<string | undefined>> {
  const outcomes = await Promise.all(tabs.map((tab, index) => tab.send(`${lab.notes}?tab=${index}`)));
  expect(outcomes).toEqual(tabs.map(() => ({ status: 200, body: [] })));
  const hits = await lab.stage.journal({ target: "api" });
  return new Set(hits.filter(({ status }) => status === 200).map(({ headers }) => headers.authorization));
}

async function expectSignedOut(tabs: readonly Tab[], events: Told["name"][]): Promise<void> {
  for (const tab of tabs) {
    await expect.poll(() => tab.page.evaluate(() => window.client.session.status), PATIENCE).toBe("signedOut");
    expect((await tab.told()).map(({ name }) => name)).toEqual(events);
    expect((await tab.stored())?.session).toBeNull();
  }
}

test("C15: again and again, tabs in different processes meet the same 401 and cost one refresh", async () => {
  const { stage } = lab;
  const tabs = await openTabs(5, { context: await lab.openContext() });
  for (let round = 0; round < 10; round += 1) {
    await stage.clearJournal();
    await spoilToken(tabs);
    expect((await sendFromAll(tabs)).size).toBe(1);
    expect(await lab.refreshes(), `round ${round}`).toBe(1);
  }
});

test("C16: a tab that is frozen in its refresh holds another up for 16 s at most, and nobody is logged out", async () => {
  const { stage, notes } = lab;
  const { context } = await lab.openProfile();
  const frozen = await lab.openTab({ context });
  await frozen.login();
  const other = await lab.openTab({ context });
  await spoilToken([frozen, other]);
  await stage.inject({ target: "auth", path: REFRESH, times: 1, action: { kind: "gate_after", name: "refresh" } });
  const waiting = frozen.send(`${notes}?frozen`);
  await stage.waitAtGate("refresh");
  const freezing = await freeze(frozen.page);
  await stage.openGate("refresh");

  const { outcome, after } = await other.page.evaluate(async (url) => {
    const from = performance.now();
    return { outcome: await window.send(url), after: performance.now() - from };
  }, notes);
  expect(outcome).toEqual({ status: 200, body: [] });
  expect(after).toBeLessThan(LONGEST_WAIT);
  await freezing.thaw();
  expect(await waiting).toEqual({ status: 200, body: [] });
  expect((await sendFromAll([frozen, other])).size).toBe(1);
  const keys = (await stage.journal({ path: REFRESH })).map(({ headers }) => headers["idempotency-key"]);
  expect(keys).toHaveLength(2);
  expect(new Set(keys).size).toBe(1);
  expect(await frozen.told("sessionExpired")).toEqual([]);
});

test("C16: whoever has waited for the lock long enough refreshes without it, and both go on", async () => {
  const { stage, notes } = lab;
  const context = await lab.openContext();
  const [slow, hasty] = await openTabs(2, { context, lockWait: 300 });
  await spoilToken([slow, hasty]);
  await stage.inject({ target: "auth", path: REFRESH, times: 1, action: { kind: "gate", name: "refresh" } });
  const waiting = slow.send(`${notes}?slow`);
  await stage.waitAtGate("refresh");
  expect(await hasty.send(notes)).toEqual({ status: 200, body: [] });
  await stage.openGate("refresh");
  expect(await waiting).toEqual({ status: 200, body: [] });
  expect((await stage.journal({ path: REFRESH })).map(({ status }) => status)).toEqual([200, 200]);
  expect(await slow.refresh()).toBe("");
  expect(await hasty.refresh()).toBe("");
});

test("C17: without Web Locks tabs adopt what another has stored, and nobody is logged out", async () => {
  const { stage } = lab;
  const context = await lab.openContext();
  const tabs = await openTabs(5, { context, before: WITHOUT_LOCKS });
  expect(await tabs[0].page.evaluate(() => "locks" in navigator && navigator.locks)).toBeUndefined();
  await spoilToken(tabs);
  await sendFromAll(tabs);
  await new Promise((resolve) => setTimeout(resolve, RETRY_WINDOW * 1_000));
  await spoilToken(tabs);
  await sendFromAll(tabs);
  expect(await lab.refreshes()).toBeLessThanOrEqual(10);
  await stage.clearJournal();
  expect((await sendFromAll(tabs)).size).toBe(1);
  for (const tab of tabs) expect(await tab.told("sessionExpired")).toEqual([]);
});

test.each([
  ["the same tab", 0],
  ["another tab", 1],
] as const)("C19: a logout in %s wins over the refresh that is under way", async (_where, index) => {
  const { stage } = lab;
  const tabs = await openTabs(2, { context: await lab.openContext() });
  await stage.inject({ target: "auth", path: REFRESH, action: { kind: "gate_after", name: "refresh" } });
  const refreshed = tabs[0].refresh();
  await stage.waitAtGate("refresh");
  expect(await tabs[index].page.evaluate(() => window.client.logout())).toBe("revoked");
  await stage.openGate("refresh");
  expect(await refreshed).toBe("session_expired");
  await expectSignedOut(tabs, ["signedIn", "signedOut"]);
});

test.each([
  ["the same tab", 0],
  ["another tab", 1],
] as const)("C19: whoever logs in in %s during another's refresh stays signed in", async (_where, index) => {
  const { stage, notes } = lab;
  const [, next] = stage.users;
  const tabs = await openTabs(2, { context: await lab.openContext() });
  await tabs[0].spoilToken();
  await stage.inject({ target: "auth", path: REFRESH, action: { kind: "gate_after", name: "refresh" } });
  const waiting = tabs[0].send(notes);
  await stage.waitAtGate("refresh");
  await tabs[index].login(next);
  await stage.openGate("refresh");
  // The request was the first user's: it is not sent in the name of the second.
  expect(await waiting).toMatchObject({ status: 401 });

  for (const tab of tabs) {
    const email = () => tab.page.evaluate(() => window.client.session.user?.email);
    await expect.poll(email, PATIENCE).toBe(next!.username);
    expect((await tab.stored())?.session?.user.id).toBe(next!.id);
  }
  await stage.clearJournal();
  expect((await sendFromAll(tabs)).size).toBe(1);
});

test("C20: a logout ends the session with the refresh token, and the other tabs see it within 1 s", async () => {
  const { stage } = lab;
  const [tab, ...others] = await openTabs(3, { context: await lab.openContext() });
  const { session } = (await tab.stored())!;
  await tab.spoilToken();
  expect(await tab.page.evaluate(() => window.client.logout())).toBe("revoked");
  const [sent] = await stage.journal({ target: "auth", path: REVOKE });
  expect(JSON.parse(sent!.body)).toEqual({ refresh_token: session?.refreshToken });
  const [here] = await tab.told("signedOut");
  for (const other of others) {
    await expect.poll(() => other.told("signedOut"), PATIENCE).toHaveLength(1);
    const [there] = await other.told("signedOut");
    expect(there!.at - here!.at).toBeLessThan(1_000);
  }
  await expectSignedOut([tab, ...others], ["signedIn", "signedOut"]);
});

test("C20: a logout without a service in reach signs out all the same", async () => {
  const { stage } = lab;
  const [tab, other] = await openTabs(2, { context: await lab.openContext() });
  await stage.stopService();
  expect(await tab.page.evaluate(() => window.client.logout())).toBe("unreachable");
  await expectSignedOut([tab, other], ["signedIn", "signedOut"]);
  await stage.startService();
});

test("C28: a refused refresh ends nothing when another tab has stored newer tokens meanwhile", async () => {
  const { stage, notes } = lab;
  const [tab, other] = await openTabs(2, { context: await lab.openContext() });
  const elsewhere = await lab.openTab();
  await elsewhere.login();
  const newer = (await elsewhere.stored())!.session;
  await tab.spoilToken();
  await stage.inject({ target: "auth", path: REFRESH, times: 1, action: { kind: "gate", name: "refresh" } });
  const waiting = tab.send(notes);
  await stage.waitAtGate("refresh");
  await lab.endSession(tab);
  await other.page.evaluate((tokens) => {
    const entry = JSON.parse(localStorage.getItem("keybearer")!) as { revision: number };
    localStorage.setItem("keybearer", JSON.stringify({ ...entry, revision: entry.revision + 1, session: tokens }));
  }, newer);
  await stage.openGate("refresh");
  expect(await waiting).toEqual({ status: 200, body: [] });
  expect((await stage.journal({ path: REFRESH })).map(({ status }) => status)).toEqual([401]);
  expect(await tab.told("sessionExpired")).toEqual([]);
});

test("C33: a duplicated tab with sessionStorage has the same tokens; the later of their refreshes ends the session", async () => {
  const context = await lab.openContext();
  await context.addInitScript(`window.options = { storage: "session" };`);
  const tab = await lab.openTab({ context, storage: "session" });
  await tab.login();
  const duplicate = context.waitForEvent("page");
  await tab.page.evaluate(() => void window.open(location.href));
  const copy = await duplicate;
  await copy.waitForFunction(() => "client" in window);
  expect(await copy.evaluate(() => window.client.session)).toEqual(
    await tab.page.evaluate(() => window.client.session),
  );
  expect(await tab.refresh()).toBe("");
  await new Promise((resolve) => setTimeout(resolve, (RETRY_WINDOW + 1) * 1_000));
  expect(await copy.evaluate(() => window.refresh())).toBe("session_expired");
  expect(await tab.refresh()).toBe("session_expired");
});
