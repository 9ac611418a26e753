/** What a retry sends: the very same bytes, or nothing. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Entry } from "../../src/record.js";
import type { JournalEntry } from "../support/stage.js";
import type { BodyKind, ConfigKind } from "./bodies.page.js";
import { openH2, type H2 } from "./h2.js";
import { startLab } from "./lab.js";
import { TRANSPORTS } from "./transports.js";

const KINDS: BodyKind[] = ["arrayBuffer", "blob", "formData", "string", "typedArray", "urlSearchParams"];
const CONFIGS: ConfigKind[] = ["json", "urlEncoded", "multipart", "paramsArray", "customTransform"];

const lab = startLab();

const openBodies = (transport: (typeof TRANSPORTS)[number]) =>
  lab.openTab({ url: lab.bodies, transport, origins: [lab.stage.other] });

/** A 401 for the first request, whatever it is. */
const refuseOnce = () => lab.stage.inject({ target: "other", times: 1, action: { kind: "answer", status: 401 } });

/** All of a request that a retry may not change. A browser puts a boundary of its own into each multipart body. */
function sent({ method, path, query, headers, body, bodyBytes, bodySha256 }: JournalEntry): object {
  const { authorization, "content-type": type = "", ...others } = headers;
  expect(authorization).toMatch(/^Bearer /);
  const boundary = /boundary=(.+)$/.exec(type)?.[1];
  const content = boundary ? { text: body.replaceAll(boundary, "-") } : { type, bodySha256 };
  return { method, path, query, others, bodyBytes, content };
}

async function expectSameTwice(): Promise<JournalEntry> {
  const entries = await lab.stage.journal({ target: "other" });
  expect(entries.map(({ status }) => status)).toEqual([401, 200]);
  const [first, second] = entries as [JournalEntry, JournalEntry];
  expect(sent(second)).toEqual(sent(first));
  expect(second.headers.authorization).not.toBe(first.headers.authorization);
  return second;
}

test.each(TRANSPORTS)("C21: %s sends every kind of body again as it was", async (transport) => {
  const { stage } = lab;
  const tab = await openBodies(transport);
  await tab.login();
  for (const kind of KINDS) {
    await stage.clearJournal();
    await refuseOnce();
    const status = await tab.page.evaluate(([url, of]) => window.sendBody(url, of), [stage.other, kind] as const);
    expect(status).toBe(200);
    expect((await expectSameTwice()).bodyBytes, kind).toBeGreaterThan(9);
  }
});

test.each(["axios-xhr", "axios-fetch"] as const)(
  "C21: by %s transforms and parameters are worked out once",
  async (transport) => {
    const { stage } = lab;
    const tab = await openBodies(transport);
    await tab.login();
    for (const kind of CONFIGS) {
      await stage.clearJournal();
      await refuseOnce();
      const url = `${stage.other}/folder`;
      expect(await tab.page.evaluate(([to, of]) => window.sendConfig(to, of), [url, kind] as const)).toBe(200);
      const { body, path, query } = await expectSameTwice();
      expect(path).toBe("/folder");
      if (kind === "paramsArray") expect(query).toMatch(/^tag(\[\]|%5B%5D)=a&tag(\[\]|%5B%5D)=b\+%C3%A4&at=1970-/);
      if (kind === "customTransform") expect(body).toBe("transformed 1");
    }
  },
);

/** Chromium sends streams by HTTP/2 only. */
let h2: H2;

beforeAll(async () => {
  h2 = await openH2(() => lab.stage.api);
});

afterAll(() => h2.close());

const openStreams = async (transport: "axios-fetch" | "fetch") => {
  const context = await lab.openContext({ ignoreHTTPSErrors: true });
  return lab.openTab({ url: lab.bodies, context, transport, origins: [h2.origin] });
};

test.each(["axios-fetch", "fetch"] as const)(
  "C22: a stream by %s is never sent twice; the token is refreshed",
  async (transport) => {
    const tab = await openStreams(transport);
    await tab.login();
    await tab.spoilToken();
    const url = `${h2.origin}/notes`;
    expect(await tab.page.evaluate((to) => window.sendStream(to), url)).toBe("body_not_replayable");
    expect(await lab.refreshes()).toBe(1);
    expect((await lab.stage.journal({ target: "api" })).map(({ status }) => status)).toEqual([401]);

    expect(await tab.page.evaluate((to) => window.sendStream(to), url)).toBe("201");
    expect(await lab.refreshes()).toBe(1);
    const [, taken] = await lab.stage.journal({ target: "api" });
    expect(taken).toMatchObject({ body: '{"text":"in pieces"}', status: 201 });
  },
);

test.each(["axios-fetch", "fetch"] as const)(
  "C22: a stream by %s near the token's end waits for a new one first",
  async (transport) => {
    const tab = await openStreams(transport);
    await tab.login();
    await tab.page.evaluate(() => {
      const entry = JSON.parse(localStorage.getItem("keybearer")!) as Entry;
      const session = { ...entry.session, expiresAt: Date.now() };
      localStorage.setItem("keybearer", JSON.stringify({ ...entry, session }));
    });
    expect(await tab.page.evaluate((to) => window.sendStream(to), `${h2.origin}/notes`)).toBe("201");
    expect(await lab.refreshes()).toBe(1);
    expect((await lab.stage.journal({ target: "api" })).map(({ status }) => status)).toEqual([201]);
  },
);
