/** Answers that nobody should give, to calls other than the refresh (failures.test.ts has that). */
import { describe, expect, test } from "vitest";
import type { Action } from "../support/stage.js";
import { FLAVOURS } from "./flavours.js";
import { LOGIN, NOTES, open, refreshes, rejection, signedIn, stageOfFile } from "./staged.js";

const stage = stageOfFile();
const flavour = FLAVOURS[0]!;

const HTML = "<!doctype html><title>Log in to the network</title>";
const SESSION = { accessToken: "a.b.c", refreshToken: "kbr_x", expiresIn: 900, sessionId: "s" };

function answer(status: number, body: string | object = "", headers: Readonly<Record<string, string>> = {}): Action {
  return { kind: "answer", status, body, headers };
}

function session(members: object, id: unknown = "u"): object {
  return { data: { id, type: "session", attributes: { ...SESSION, ...members } } };
}

const unavailable: readonly [what: string, action: Action][] = [
  ["a portal's HTML with 200", answer(200, HTML)],
  ["half a document", answer(200, '{"data": {"id": "u", "attri')],
  ["an answer that breaks off", { kind: "truncate" }],
  ["nothing", { kind: "drop_before" }],
  ["nothing in time", { kind: "hang" }],
  ["an endless redirect", { kind: "redirect", status: 302, location: LOGIN }],
  ["500", answer(500, HTML)],
  ["503", answer(503, { errors: [{ code: "overloaded" }] })],
  ["a session without a refresh token", answer(200, session({ refreshToken: undefined }))],
  ["a session without an access token", answer(200, session({ accessToken: undefined }))],
  ["a session without its user", answer(200, session({}, null))],
  ["a token with a line break", answer(200, session({ accessToken: "tok\nen" }))],
  ["a token with a NUL", answer(200, session({ refreshToken: "kbr_\0" }))],
  ["a token that is an object", answer(200, session({ accessToken: { toString: "x" } }))],
  ["a token of 900 KB", answer(200, session({ accessToken: "x".repeat(900_000) }))],
  ["a session without an id", answer(200, session({ sessionId: "" }))],
  ["a lifetime that is negative", answer(200, session({ expiresIn: -1 }))],
  ["an empty document", answer(200, {})],
  ["204", answer(204)],
];

describe("a login that is answered with", () => {
  test.each(unavailable)("%s is a typed error; nobody is signed in, and nothing stored", async (_what, action) => {
    const { keybearer, notebook, events } = await open(stage, flavour, { timeout: 1_000 });
    await stage.inject({ target: "auth", path: LOGIN, action });
    const error = await rejection(keybearer.login(stage.users[0]!.username, stage.users[0]!.password));
    expect(error).toMatchObject({ code: "service_unavailable" });
    expect(await stage.journal({ path: LOGIN })).toHaveLength(1);
    expect(notebook.text).toBeNull();
    expect(events).toEqual([]);
    expect(keybearer.session.status).toBe("signedOut");
  });

  test.each([
    ["a refusal without a document", 401, HTML, "unknown"],
    ["a refusal whose code is none", 401, { errors: [{ code: 7 }] }, "unknown"],
    ["a list of no errors", 422, { errors: [] }, "unknown"],
    ["errors that are none", 400, { errors: "validation_failed" }, "unknown"],
    ["too many attempts", 429, { errors: [{ code: "too_many_attempts" }] }, "too_many_attempts"],
    ["a code that is not of the catalogue yet", 403, { errors: [{ code: "of_tomorrow" }] }, "of_tomorrow"],
  ])("%s is the service's refusal", async (_what, status, body, code) => {
    const { keybearer } = await open(stage, flavour);
    const headers = { "Retry-After": "7", "X-Request-Id": "r-1" };
    await stage.inject({ target: "auth", path: LOGIN, action: answer(status, body, headers) });
    const error = await rejection(keybearer.login("user@example.com", "x"));
    expect(error).toMatchObject({ code, status, retryAfter: 7, requestId: "r-1" });
  });
});

test.each(unavailable.slice(0, 8))(
  "a call of the client's that is answered with %s is a typed error",
  async (_what, action) => {
    const { keybearer, notebook } = await signedIn(stage, flavour, { timeout: 1_000 });
    const { text } = notebook;
    await stage.inject({ target: "auth", action });
    for (const call of [keybearer.inspect, keybearer.profile]) {
      expect(await rejection(call())).toMatchObject({ code: "service_unavailable" });
    }
    expect(notebook.text).toBe(text);
    expect(await refreshes(stage)).toEqual([]);
  },
);

describe.each(FLAVOURS)("$name", (each) => {
  test("an answer of the program's that is no JSON is the program's", async () => {
    const { send, keybearer } = await signedIn(stage, each);
    await stage.inject({ target: "api", times: 1, action: answer(200, HTML) });
    expect(await send(stage.api + NOTES)).toMatchObject({ status: 200, data: HTML });
    expect(keybearer.session.status).toBe("signedIn");
  });

  test("a 401 without a document sets off the refresh as well", async () => {
    const { send } = await signedIn(stage, each);
    await stage.inject({ target: "api", times: 1, action: answer(401, HTML) });
    expect((await send(stage.api + NOTES)).status).toBe(200);
    expect(await refreshes(stage)).toHaveLength(1);
  });
});
