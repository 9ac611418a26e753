/** What is no end of a session: a service that is away, answers nonsense, or answers and is not heard. */
import { expect, test } from "vitest";
import type { Action, JournalEntry } from "../support/stage.js";
import { PATIENCE, REFRESH, startLab } from "./lab.js";
import { TRANSPORTS } from "./transports.js";

const RETRY_WINDOW = 1;

const lab = startLab({ KEYBEARER_REFRESH_RETRY_WINDOW: String(RETRY_WINDOW) });

function refreshKeys(entries: JournalEntry[]): Set<string | undefined> {
  return new Set(entries.map(({ headers }) => headers["idempotency-key"]));
}

const portal = "<!doctype html><title>Welcome to the hotel</title>";
const html = { "Content-Type": "text/html" };

test.each<[string, Action]>([
  ["503", { kind: "answer", status: 503 }],
  ["429", { kind: "answer", status: 429, headers: { "Retry-After": "1" } }],
  ["half of the JSON", { kind: "truncate" }],
  ["JSON without tokens", { kind: "answer", status: 200, body: { data: { id: "1", attributes: {} } } }],
  ["a captive portal's HTML", { kind: "answer", status: 200, headers: html, body: portal }],
  ["a redirect to a captive portal", { kind: "redirect", status: 302, location: "http://127.0.0.1:9/" }],
  ["an answer without CORS headers", { kind: "strip_cors" }],
  ["a connection that is closed", { kind: "drop_before" }],
])("C25: a refresh that meets %s costs nobody the session", async (_name, action) => {
  const { stage, notes, program } = lab;
  const tab = await lab.openTab();
  await tab.login();
  const { session } = (await tab.stored())!;
  await stage.inject({ target: "auth", path: REFRESH, action });
  await tab.spoilToken();
  expect(await tab.send(notes)).toEqual({ error: "refresh_unavailable" });

  expect(new Set((await tab.told()).map(({ name }) => name))).toEqual(new Set(["signedIn", "refreshUnavailable"]));
  expect((await tab.stored())?.session?.refreshToken).toBe(session?.refreshToken);
  expect(tab.page.url()).toBe(program);
  await stage.clearFaults();
  await expect.poll(() => tab.send(notes), PATIENCE).toEqual({ status: 200, body: [] });
  expect(refreshKeys(await stage.journal({ path: REFRESH })).size).toBe(1);
});

test.each(TRANSPORTS)("C25: a service that is killed and comes back costs a user of %s nothing", async (transport) => {
  const { stage, notes } = lab;
  const tab = await lab.openTab({ transport });
  await tab.login();
  await tab.spoilToken();
  await stage.stopService("KILL");
  expect(await tab.send(notes)).toEqual({ error: "refresh_unavailable" });
  expect(await tab.send(notes)).toEqual({ error: "refresh_unavailable" });
  await stage.startService();
  await expect.poll(() => tab.send(notes), PATIENCE).toEqual({ status: 200, body: [] });
});

test.each(TRANSPORTS)(
  "C25: a 401 that %s cannot read, for want of CORS headers, is no reason for a refresh",
  async (transport) => {
    const { stage, notes } = lab;
    const tab = await lab.openTab({ transport });
    await tab.login();
    await tab.spoilToken();
    await stage.inject({ target: "api", times: 1, action: { kind: "strip_cors" } });
    expect(await tab.send(notes)).toEqual({ error: transport === "fetch" ? "TypeError" : "ERR_NETWORK" });
    expect(await lab.refreshes()).toBe(0);
    expect(await tab.send(notes)).toEqual({ status: 200, body: [] });
    expect(await lab.refreshes()).toBe(1);
  },
);

test("C24a: an answer that is lost, and a reload after the retry window, do not cost the session", async () => {
  const { stage, notes } = lab;
  const tab = await lab.openTab();
  await tab.login();
  await tab.spoilToken();
  await stage.inject({ target: "auth", path: REFRESH, times: 2, action: { kind: "drop_after" } });
  expect(await tab.send(notes)).toEqual({ error: "refresh_unavailable" });
  expect(await lab.refreshes()).toBe(2);

  await new Promise((resolve) => setTimeout(resolve, (RETRY_WINDOW + 1) * 1000));
  await tab.page.reload();
  expect(await tab.send(notes)).toEqual({ status: 200, body: [] });
  const sent = await stage.journal({ path: REFRESH });
  expect(sent.map(({ status }) => status)).toEqual([null, null, 200]);
  expect(refreshKeys(sent)).toEqual(new Set([expect.stringMatching(/^[\w.-]{22,64}$/)]));
  expect(new Set(sent.map(({ body }) => body)).size).toBe(1);

  await new Promise((resolve) => setTimeout(resolve, (RETRY_WINDOW + 1) * 1000));
  expect(await tab.refresh()).toBe("");
  const [after] = (await stage.journal({ path: REFRESH })).slice(-1);
  expect(refreshKeys(sent)).not.toContain(after!.headers["idempotency-key"]);
});

test("C24a: the key of a refresh is stored before the refresh is sent", async () => {
  const { stage } = lab;
  const tab = await lab.openTab();
  await tab.login();
  await stage.inject({ target: "auth", path: REFRESH, action: { kind: "gate", name: "refresh" } });
  const refreshed = tab.refresh();
  await stage.waitAtGate("refresh");
  const [sent] = await stage.journal({ path: REFRESH });
  expect((await tab.stored())?.session?.idempotencyKey).toBe(sent!.headers["idempotency-key"]);
  await stage.openGate("refresh");
  expect(await refreshed).toBe("");
  expect((await tab.stored())?.session?.idempotencyKey).toBeUndefined();
});
