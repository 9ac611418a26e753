/** With access tokens that really end, after seconds: who refreshes them, when, and how often. */
import { expect, test } from "vitest";
import { setClock } from "./clock.js";
import { PATIENCE, REFRESH, startLab } from "./lab.js";
import type { Tab } from "./tab.js";
import { TRANSPORTS } from "./transports.js";

/** Seconds of an access token, and those after which a page refreshes it at the earliest: 80 % less the jitter. */
const LIFETIME = 4;
const EARLIEST = 2.5;

const DAY = 86_400_000;

const lab = startLab({ KEYBEARER_ACCESS_TOKEN_LIFETIME: String(LIFETIME) });

test.each(TRANSPORTS)(
  "C1, C3: by %s a 401 of the guard is refreshed and retried with both credentials",
  async (transport) => {
    const { stage, notes } = lab;
    const tab = await lab.openTab({ transport, proactive: false });
    await tab.login();
    await tab.untilTokenEnds();
    expect(await lab.refreshes()).toBe(0);
    expect(await tab.send(notes)).toEqual({ status: 200, body: [] });

    const sent = await stage.journal({ target: "api" });
    const bearers = sent.map(({ headers }) => headers.authorization);
    expect(sent.map(({ status }) => status)).toEqual([401, 200]);
    expect(sent.map(({ headers }) => headers["api-key"])).toEqual([stage.publishableKey, stage.publishableKey]);
    expect(bearers).toEqual([expect.stringMatching(/^Bearer eyJ/), expect.stringMatching(/^Bearer eyJ/)]);
    expect(bearers[1]).not.toBe(bearers[0]);
    expect(await lab.refreshes()).toBe(1);
    expect((await tab.told()).map(({ name }) => name)).toEqual(["signedIn", "refreshed", "retried"]);
  },
);

/** One in front, four hidden. */
async function openFive(proactive: boolean): Promise<[Tab, ...Tab[]]> {
  const { context } = await lab.openProfile();
  const tabs = [await lab.openTab({ context, proactive })] as [Tab, ...Tab[]];
  await tabs[0].login();
  while (tabs.length < 5) tabs.push(await lab.openTab({ context, proactive }));
  return tabs;
}

/** Every tab has heard of the refresh within a second of the first that has, and the next request shows it. */
async function expectRefreshed(tabs: readonly Tab[]): Promise<void> {
  for (const tab of tabs) await expect.poll(() => tab.told("refreshed"), PATIENCE).toHaveLength(1);
  const heard = (await Promise.all(tabs.map((tab) => tab.told("refreshed")))).flat().map(({ at }) => at);
  expect(Math.max(...heard) - Math.min(...heard)).toBeLessThan(1_000);
  expect(await lab.refreshes()).toBe(1);
}

test("C15: five tabs whose token ends cost one refresh, and each has the new token within 1 s", async () => {
  const { stage, notes } = lab;
  const tabs = await openFive(false);
  await tabs[0].untilTokenEnds();
  const outcomes = await Promise.all(tabs.map((tab, index) => tab.send(`${notes}?tab=${index}`)));
  expect(outcomes).toEqual(tabs.map(() => ({ status: 200, body: [] })));
  await expectRefreshed(tabs);
  const hits = (await stage.journal({ target: "api" })).filter(({ status }) => status === 200);
  expect(hits).toHaveLength(5);
  expect(new Set(hits.map(({ headers }) => headers.authorization)).size).toBe(1);
});

test("C15, C30: of five tabs the one in front refreshes in time, and the hidden ones have the new token within 1 s", async () => {
  await expectRefreshed(await openFive(true));
});

test("C30: a hidden page refreshes nothing until it is looked at", async () => {
  const { context } = await lab.openProfile();
  const tab = await lab.openTab({ context });
  await tab.login();
  const front = await lab.openTab({ context, url: "about:blank" });
  await tab.page.waitForFunction(() => document.hidden, undefined, { polling: 100 });
  await tab.untilTokenEnds();
  expect(await lab.refreshes()).toBe(0);
  await front.page.close();
  await tab.page.bringToFront();
  await expect.poll(() => tab.told("refreshed"), PATIENCE).toHaveLength(1);
});

test("C30: a page without a network tries nothing, and refreshes when the network is back", async () => {
  const context = await lab.openContext();
  const tab = await lab.openTab({ context });
  await tab.login();
  await context.setOffline(true);
  await tab.untilTokenEnds();
  await context.setOffline(false);
  await expect.poll(() => tab.told("refreshed"), PATIENCE).toHaveLength(1);
  expect((await tab.told()).map(({ name }) => name)).toEqual(["signedIn", "refreshed"]);
});

/** The seconds between the refreshes that follow, so many of them. */
async function pausesBetween(count: number): Promise<number[]> {
  await expect.poll(() => lab.refreshes(), { timeout: 60_000 }).toBeGreaterThan(count);
  const at = (await lab.stage.journal({ path: REFRESH })).map((entry) => entry.at);
  return at.slice(1).map((seconds, index) => seconds - at[index]!);
}

test.each([
  ["ahead", DAY],
  ["behind", -DAY],
])("C31: with a clock that is a day %s there is one refresh for each token", async (_how, shift) => {
  const tab = await lab.openTab({ before: setClock(shift) });
  await tab.login();
  const [login] = await lab.stage.journal({ target: "auth" });
  for (const pause of await pausesBetween(1)) expect(pause).toBeGreaterThan(EARLIEST);
  const [first] = await lab.stage.journal({ path: REFRESH });
  expect(first!.at - login!.at).toBeGreaterThan(EARLIEST);
  expect((await tab.stored())?.session?.clockOffset).toBeCloseTo(-shift, -4);
  expect(await tab.send(lab.notes)).toEqual({ status: 200, body: [] });
});

test.each([
  ["ahead", DAY],
  ["behind", -DAY],
])("C31: a clock that is set a day %s meanwhile costs one early refresh at most", async (_how, shift) => {
  const context = await lab.openContext();
  const tab = await lab.openTab({ context });
  await tab.login();
  await tab.page.evaluate(setClock(shift));
  await context.setOffline(true);
  await context.setOffline(false); // the page looks at its clock
  const [, ...pauses] = await pausesBetween(2);
  for (const pause of pauses) expect(pause).toBeGreaterThan(EARLIEST);
  expect(await tab.send(lab.notes)).toEqual({ status: 200, body: [] });
  expect(await tab.told("sessionExpired")).toEqual([]);
  expect((await tab.stored())?.session?.clockOffset).toBeCloseTo(-shift, -4);
});
