/** What is sent again after a refresh: the same to the last byte, or nothing (C21, C22). */
import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import type { JournalEntry } from "../support/stage.js";
import { FLAVOURS, type Flavour, type Sent } from "./flavours.js";
import {
  bearer,
  headersBut,
  NOTES,
  refreshes,
  rejection,
  signedIn,
  UNAUTHORIZED,
  stageOfFile,
  type Opened,
} from "./staged.js";

const stage = stageOfFile();

/** `other` answers to whatever it is sent. */
function signedInAtOther(flavour: Flavour): Promise<Opened> {
  return signedIn(stage, flavour, { origins: [stage.api, stage.other] });
}

/** The two times that a request was sent, the first of which met a 401. */
async function bothTimes(): Promise<[JournalEntry, JournalEntry]> {
  const [first, second, ...more] = await stage.journal({ target: "other" });
  expect(more).toEqual([]);
  expect([first!.status, second!.status]).toEqual([401, 200]);
  return [first!, second!];
}

function essence(hit: JournalEntry): object {
  const { method, path, query, bodySha256, bodyBytes } = hit;
  return { method, path, query, headers: headersBut(hit, "authorization"), bodySha256, bodyBytes };
}

const JSON_TYPE = { "Content-Type": "application/json" };
const BYTES = Uint8Array.from({ length: 70_000 }, (_, index) => index % 256);

const bodies: readonly [what: string, request: Sent][] = [
  ["no body", { headers: { "X-Request-Id": "of-the-caller" } }],
  ["JSON", { method: "POST", headers: JSON_TYPE, body: JSON.stringify({ text: "später", n: [1, 2] }) }],
  ["text", { method: "PUT", headers: { "Content-Type": "text/plain; charset=utf-8" }, body: "línea\r\n\u2028" }],
  ["urlencoded", { method: "POST", body: new URLSearchParams({ a: "1 & 2", b: "ü" }) }],
  ["bytes", { method: "PATCH", headers: { "Content-Type": "application/octet-stream" }, body: BYTES }],
  ["an ArrayBuffer", { method: "POST", headers: { "Content-Type": "application/x" }, body: BYTES.buffer }],
];

function streamed(text: string): Sent {
  return { method: "POST", headers: JSON_TYPE, body: Readable.from([JSON.stringify({ text })]) };
}

/** The boundary between the parts of a form is chosen anew whenever the form is sent. */
function withoutBoundary({ body }: JournalEntry): string {
  return body.replaceAll(body.slice(0, body.indexOf("\r\n")), "--boundary");
}

describe.each(FLAVOURS)("$name", (flavour) => {
  test.each(bodies)("C21: a retry is byte-identical but for Authorization: %s", async (_what, request) => {
    const { send, notebook } = await signedInAtOther(flavour);
    const before = notebook.session;
    await stage.inject({ target: "other", times: 1, action: UNAUTHORIZED });
    expect((await send(`${stage.other}/a%20b/c?q=1&q=%C3%BC`, request)).status).toBe(200);
    const [first, second] = await bothTimes();
    expect(essence(second)).toEqual(essence(first));
    expect(first).toMatchObject({ method: request.method ?? "GET", path: "/a%20b/c", query: "q=1&q=%C3%BC" });
    expect(first.headers.authorization).toBe(bearer(before.accessToken));
    expect(second.headers.authorization).toBe(bearer(notebook.session.accessToken));
    expect(first.bodyBytes > 0).toBe(request.body !== undefined);
    expect(await refreshes(stage)).toHaveLength(1);
  });

  test("C21: a form with a file is sent whole both times", async () => {
    const { send } = await signedInAtOther(flavour);
    const body = new FormData();
    body.append("name", "ü");
    body.append("file", new File(["of a file"], "bytes.bin", { type: "application/x" }));
    await stage.inject({ target: "other", times: 1, action: UNAUTHORIZED });
    expect((await send(stage.other, { method: "POST", body })).status).toBe(200);
    const [first, second] = await bothTimes();
    expect(withoutBoundary(second)).toBe(withoutBoundary(first));
    expect(withoutBoundary(first)).toMatch(/"name"\r\n\r\nü\r\n.*filename="bytes.bin".*\r\n\r\nof a file\r\n/s);
  });

  test("C22: a stream is never sent twice: the token is refreshed, and the caller told", async () => {
    const { send, notebook } = await signedIn(stage, flavour);
    notebook.spoil();
    const { accessToken } = notebook.session;
    const error = await rejection(send(stage.api + NOTES, streamed("first")));
    expect(error).toMatchObject({ code: "body_not_replayable" });
    expect(await stage.journal({ target: "api" })).toMatchObject([{ method: "POST", status: 401 }]);
    expect(await refreshes(stage)).toHaveLength(1);
    expect(notebook.session.accessToken).not.toBe(accessToken);
    expect(await send(stage.api + NOTES, streamed("second"))).toMatchObject({ status: 201, data: { text: "second" } });
  });

  test("C22: a stream goes out after a refresh when the token is near its end; other bodies do not wait", async () => {
    const { send, notebook } = await signedIn(stage, flavour);
    const { accessToken, expiresAt } = notebook.session;
    notebook.change({ expiresAt: expiresAt - 880_000 });
    expect((await send(stage.api + NOTES)).status).toBe(200);
    expect(await refreshes(stage)).toEqual([]);
    expect((await send(stage.api + NOTES, streamed("whole"))).status).toBe(201);
    expect(await refreshes(stage)).toHaveLength(1);
    const [, posted] = await stage.journal({ target: "api" });
    expect(posted!.body).toBe('{"text":"whole"}');
    expect(posted!.headers.authorization).not.toBe(bearer(accessToken));
  });
});

describe("fetch", () => {
  test("C22: a web stream, and an async iterable, are never sent twice either", async () => {
    const { send, notebook } = await signedIn(stage, FLAVOURS[3]!);
    const text = JSON.stringify({ text: "once" });
    async function* pieces(): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(new TextEncoder().encode(text));
    }
    for (const body of [new Blob([text]).stream(), pieces()]) {
      notebook.spoil();
      await stage.clearJournal();
      const error = await rejection(send(stage.api + NOTES, { method: "POST", headers: JSON_TYPE, body }));
      expect(error).toMatchObject({ code: "body_not_replayable" });
      expect(await stage.journal({ target: "api" })).toMatchObject([{ body: text, status: 401 }]);
    }
  });

  test("C21: a Request is sent whole both times, its init over it", async () => {
    const { createKeybearer } = await import("../../src/fetch.js");
    const { notebook } = await signedInAtOther(FLAVOURS[3]!);
    const keybearer = createKeybearer({
      baseURL: stage.baseURL,
      apiKey: stage.publishableKey,
      origins: [stage.other],
      storage: notebook,
    });
    await stage.inject({ target: "other", times: 1, action: UNAUTHORIZED });
    const request = new Request(`${stage.other}/r`, { method: "PUT", body: BYTES, headers: { "X-Of": "the request" } });
    expect((await keybearer.fetch(request)).status).toBe(200);
    const [first, second] = await bothTimes();
    expect(essence(second)).toEqual(essence(first));
    expect(first).toMatchObject({ method: "PUT", bodyBytes: BYTES.length, headers: { "x-of": "the request" } });
  });
});
