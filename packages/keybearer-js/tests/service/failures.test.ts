/** A refresh that fails. It goes out on a transport of its own, the same for every flavour. */
import { Readable } from "node:stream";
import { afterEach, describe, expect, test, vi } from "vitest";
import { createParts } from "../../src/core.js";
import type { Action } from "../support/stage.js";
import { FLAVOURS, type Sent } from "./flavours.js";
import { NOTES, open, REFRESH, refreshes, rejection, signedIn, stageOfFile } from "./staged.js";

const RETRY_WINDOW = 1_000;

const stage = stageOfFile({ KEYBEARER_REFRESH_RETRY_WINDOW: String(RETRY_WINDOW / 1000) });
const flavour = FLAVOURS[0]!;

afterEach(() => {
  vi.useRealTimers();
});

function answer(status: number, body: string | object = "", headers: Readonly<Record<string, string>> = {}): Action {
  return { kind: "answer", status, body, headers };
}

function failRefreshes(action: Action, times?: number): Promise<void> {
  return stage.inject({ target: "auth", path: REFRESH, action, ...(times === undefined ? {} : { times }) });
}

const SESSION = { accessToken: "a.b.c", refreshToken: "kbr_x", expiresIn: 900, sessionId: "s" };

function sessionDocument(attributes: object, id: unknown = "u"): object {
  return { data: { id, type: "session", attributes } };
}

describe("C25: the tokens are kept, nobody is sent anywhere, and the session lives on, when the refresh meets", () => {
  const failures: readonly [what: string, action: Action][] = [
    ["a closed connection", { kind: "drop_before" }],
    ["an answer that is lost after the service has moved on", { kind: "drop_after" }],
    ["an answer that breaks off", { kind: "truncate" }],
    ["no answer in time", { kind: "hang" }],
    ["a redirect", { kind: "redirect", location: "/v1/api/oauth/token/refresh" }],
    ...[408, 425, 429, 500, 502, 503, 504].map((status): [string, Action] => [String(status), answer(status)]),
    ["200 with a portal's HTML", answer(200, "<!doctype html><title>Log in to the network</title>")],
    ["200 with half a document", answer(200, '{"data": {"id": "u", "attributes": {"accessToken": "a.b')],
    ["200 with another document", answer(200, { data: [] })],
    ["200 with null", answer(200, "null")],
    ["204", answer(204)],
    ["no refresh token", answer(200, sessionDocument({ ...SESSION, refreshToken: undefined }))],
    ["a refresh token that is null", answer(200, sessionDocument({ ...SESSION, refreshToken: null }))],
    ["an access token with a line break", answer(200, sessionDocument({ ...SESSION, accessToken: "tok\nen" }))],
    ["an empty access token", answer(200, sessionDocument({ ...SESSION, accessToken: "" }))],
    ["a lifetime that is none", answer(200, sessionDocument({ ...SESSION, expiresIn: 0 }))],
    ["a lifetime in letters", answer(200, sessionDocument({ ...SESSION, expiresIn: "900" }))],
    ["a lifetime beyond numbers", answer(200, JSON.stringify(sessionDocument(SESSION)).replace("900", "1e999"))],
    ["a user without an id", answer(200, sessionDocument(SESSION, 7))],
  ];

  test.each(failures)("%s", async (_what, action) => {
    const { send, keybearer, notebook, events } = await signedIn(stage, flavour, { timeout: 1_000 });
    notebook.spoil();
    const { accessToken, refreshToken } = notebook.session;
    await failRefreshes(action);
    expect(await rejection(send(stage.api + NOTES))).toMatchObject({ code: "refresh_unavailable" });
    expect(notebook.session).toMatchObject({ accessToken, refreshToken });
    expect(keybearer.session.status).toBe("signedIn");
    expect(events).toEqual(["refreshUnavailable"]);

    await stage.clearFaults();
    const reloaded = await open(stage, flavour, { storage: notebook });
    expect((await reloaded.send(stage.api + NOTES)).status).toBe(200);
  });

  test("a service that was killed", async () => {
    const { send, notebook, events } = await signedIn(stage, flavour);
    notebook.spoil();
    await stage.stopService("KILL");
    try {
      expect(await rejection(send(stage.api + NOTES))).toMatchObject({ code: "refresh_unavailable" });
      expect(events).toEqual(["refreshUnavailable"]);
    } finally {
      await stage.startService();
    }
    const reloaded = await open(stage, flavour, { storage: notebook });
    expect((await reloaded.send(stage.api + NOTES)).status).toBe(200);
  });
});

test.each([400, 403, 404, 405, 413, 415, 422])("C26: %s to the refresh is a configuration error", async (status) => {
  const { send, keybearer, notebook, events } = await signedIn(stage, flavour);
  notebook.spoil();
  const { accessToken, refreshToken } = notebook.session;
  await failRefreshes(answer(status, { errors: [{ code: "of_the_service" }] }));
  const error = await rejection(send(stage.api + NOTES));
  expect(error).toMatchObject({ code: "configuration" });
  expect((error as Error).message).toContain(`${status} of_the_service`);
  expect(notebook.session).toMatchObject({ accessToken, refreshToken });
  expect(keybearer.session.status).toBe("signedIn");
  expect(events).toEqual([]);
  expect(await refreshes(stage)).toHaveLength(1);
});

test("C26: 401 is final, whatever stands in it", async () => {
  const { send, notebook, events } = await signedIn(stage, flavour);
  notebook.spoil();
  await failRefreshes(answer(401, "<html>"));
  expect(await rejection(send(stage.api + NOTES))).toMatchObject({ code: "session_expired", reason: "unknown" });
  expect(notebook.entry).toMatchObject({ session: null, ended: "expired" });
  expect(events).toEqual(["sessionExpired"]);
  expect(await refreshes(stage)).toHaveLength(1);
});

test("C24a: the Idempotency-Key is stored before the refresh goes out", async () => {
  const { keybearer, notebook } = await signedIn(stage, flavour);
  await failRefreshes({ kind: "gate", name: "refresh" });
  const refreshed = keybearer.refresh();
  await stage.waitAtGate("refresh");
  const { idempotencyKey } = notebook.session;
  await stage.openGate("refresh");
  await refreshed;
  expect(idempotencyKey).toMatch(/^[\w.-]{22,64}$/);
  expect((await refreshes(stage)).map(({ headers }) => headers["idempotency-key"])).toEqual([idempotencyKey]);
  expect(notebook.session.idempotencyKey).toBeUndefined();
});

test("C24a: an answer that was lost is fetched after the retry window, with the same key: the session lives", async () => {
  const { keybearer, notebook } = await signedIn(stage, flavour);
  const { refreshToken } = notebook.session;
  await failRefreshes({ kind: "drop_after" });
  expect(await rejection(keybearer.refresh())).toMatchObject({ code: "refresh_unavailable" });
  const { idempotencyKey } = notebook.session;
  expect(idempotencyKey).toMatch(/^[\w.-]{22,64}$/);
  await stage.clearFaults();
  await new Promise((resolve) => setTimeout(resolve, RETRY_WINDOW * 1.2));

  const reloaded = await open(stage, flavour, { storage: notebook });
  await reloaded.keybearer.refresh();
  expect(notebook.session.refreshToken).not.toBe(refreshToken);
  expect(notebook.session.idempotencyKey).toBeUndefined();
  const tries = await refreshes(stage);
  expect(tries.map(({ status }) => status)).toEqual([null, null, 200]);
  for (const { headers, body } of tries) {
    expect(headers["idempotency-key"]).toBe(idempotencyKey);
    expect(JSON.parse(body)).toEqual({ refresh_token: refreshToken });
  }
  await reloaded.keybearer.refresh();
  expect((await refreshes(stage)).at(-1)!.headers["idempotency-key"]).not.toBe(idempotencyKey);
});

test("C27: a try that failed is repeated once, with the same token and key, and succeeds unnoticed", async () => {
  const { send, notebook, events } = await signedIn(stage, flavour);
  notebook.spoil();
  await failRefreshes(answer(503), 1);
  expect((await send(stage.api + NOTES)).status).toBe(200);
  const [first, second, ...more] = await refreshes(stage);
  expect(more).toEqual([]);
  expect(second!.body).toBe(first!.body);
  expect(second!.headers["idempotency-key"]).toBe(first!.headers["idempotency-key"]);
  expect(events).toEqual(["refreshed", "retried"]);
});

test.each([
  ["seconds", () => "40"],
  ["a date", () => new Date(Date.now() + 40_000).toUTCString()],
])("C27: Retry-After in %s is honoured: no repeat, and no try before", async (_form, retryAfter) => {
  vi.useFakeTimers({ toFake: ["performance"] });
  const { keybearer, notebook } = await signedIn(stage, flavour);
  await failRefreshes(answer(503, "", { "Retry-After": retryAfter() }));
  const error = await rejection(keybearer.refresh());
  expect(error).toMatchObject({ code: "refresh_unavailable" });
  expect((error as { retryAfter: number }).retryAfter).toBeGreaterThan(30);
  expect(await refreshes(stage)).toHaveLength(1);

  await stage.clearFaults();
  vi.advanceTimersByTime(30_000);
  expect(await rejection(keybearer.refresh())).toMatchObject({ code: "refresh_unavailable" });
  expect(await refreshes(stage)).toHaveLength(1);
  vi.advanceTimersByTime(15_000);
  const { refreshToken } = notebook.session;
  await keybearer.refresh();
  expect(notebook.session.refreshToken).not.toBe(refreshToken);
});

test("C27: 100 calls in 10 s against a dead service cost at most 5 refreshes, and a later one heals", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  const { send, notebook } = await signedIn(stage, flavour);
  notebook.spoil();
  await stage.stopService("KILL");
  try {
    for (let call = 0; call < 100; call += 1) {
      expect(await rejection(send(stage.api + NOTES))).toMatchObject({ code: "refresh_unavailable" });
      vi.advanceTimersByTime(100);
    }
  } finally {
    await stage.startService();
  }
  const tries = await refreshes(stage);
  expect(tries.length).toBeGreaterThan(2);
  expect(tries.length).toBeLessThanOrEqual(5);
  vi.advanceTimersByTime(60_000);
  expect((await send(stage.api + NOTES)).status).toBe(200);
});

test("C27: the cooldown grows, and never beyond its longest", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  const { keybearer } = await signedIn(stage, flavour);
  await failRefreshes(answer(503));
  const pauses: number[] = [];
  for (let failure = 0; failure < 10; failure += 1) {
    const { retryAfter } = (await rejection(keybearer.refresh())) as { retryAfter: number };
    pauses.push(retryAfter);
    vi.advanceTimersByTime(retryAfter * 1000 + 1);
  }
  expect(await refreshes(stage)).toHaveLength(11);
  expect(pauses[0]).toBeLessThanOrEqual(1.25);
  expect(pauses[3]).toBeGreaterThan(6);
  expect(Math.max(...pauses)).toBeLessThan(60.1);
});

test("C29: a refused proactive refresh leaves the access token its time; the 401 at its end is what ends it", async () => {
  const { notebook } = await signedIn(stage, flavour);
  const { refresher, core } = createParts({
    baseURL: stage.baseURL,
    apiKey: stage.publishableKey,
    storage: notebook,
  });
  const told: unknown[] = [];
  core.on("sessionExpired", (event) => told.push(event));
  const refused = { errors: [{ status: "401", code: "refresh_token_expired" }] };
  await failRefreshes(answer(401, refused));
  expect(await rejection(refresher.refresh(true))).toMatchObject({ code: "session_expired" });
  expect(core.session.status).toBe("signedIn");
  expect(notebook.session.accessToken).toBeTruthy();
  expect(told).toEqual([]);
  expect(await rejection(refresher.refresh())).toMatchObject({ reason: "refresh_token_expired" });
  expect(core.session.status).toBe("signedOut");
  expect(told).toEqual([{ code: "refresh_token_expired" }]);
});

test.each([
  ["ahead", 1],
  ["behind", -1],
])("C31: with the clock a day %s a token is near its end when the service's clock says so", async (_which, days) => {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + days * 86_400_000 });
  const { notebook, send } = await signedIn(stage, flavour);
  const { lifetime, refreshToken } = notebook.session;
  // A body that cannot be sent twice is what a token near its end is refreshed for.
  const post = async (): Promise<void> => {
    expect((await send(stage.api + NOTES, note())).status).toBe(201);
  };
  await post();
  vi.setSystemTime(Date.now() + lifetime * 0.7);
  await post();
  expect(await refreshes(stage)).toEqual([]);
  vi.setSystemTime(Date.now() + lifetime * 0.25);
  await post();
  await post();
  expect(await refreshes(stage)).toHaveLength(1);
  expect(notebook.session.refreshToken).not.toBe(refreshToken);
});

function note(): Sent {
  const headers = { "Content-Type": "application/json" };
  return { method: "POST", headers, body: Readable.from([JSON.stringify({ text: "of a stream" })]) };
}
