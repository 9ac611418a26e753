/** One tab and the real guarded example: refresh and retry, and what is none of their business. */
import { expect, test } from "vitest";
import { PATIENCE, REFRESH, startLab } from "./lab.js";
import { TRANSPORTS } from "./transports.js";

/** Milliseconds; 20 and the patience for a machine that is busy. */
const AT_ONCE = 500;

const lab = startLab();

test.each(TRANSPORTS)("C12, C13: by %s 50 requests in flight cost one refresh, and all succeed", async (transport) => {
  const { stage, notes } = lab;
  const tab = await lab.openTab({ transport });
  await tab.login();
  await tab.spoilToken();
  await stage.inject({ target: "api", times: 1, action: { kind: "gate_after", name: "late" } });
  await stage.inject({ target: "auth", path: REFRESH, times: 1, action: { kind: "gate_after", name: "refresh" } });
  // Chromium sends requests for one URL one after another.
  const send = (from: number, to: number) =>
    tab.page.evaluate(
      ([url, first, count]) =>
        Promise.all(Array.from({ length: count }, (_, index) => window.send(`${url}?n=${first + index}`))),
      [notes, from, to - from] as const,
    );

  const late = send(0, 1);
  await stage.waitAtGate("late");
  const before = send(1, 20);
  await stage.waitAtGate("refresh");
  const during = send(20, 35);
  await stage.openGate("refresh");
  const outcomes = [...(await before), ...(await during), ...(await send(35, 50))];
  await stage.openGate("late");
  outcomes.push(...(await late));

  expect(outcomes).toEqual(Array.from({ length: 50 }, () => ({ status: 200, body: [] })));
  expect(await lab.refreshes()).toBe(1);
  const hits = await stage.journal({ target: "api" });
  const queries = hits.filter(({ status }) => status === 200).map(({ query }) => query);
  expect(new Set(queries).size).toBe(50);
  expect(queries).toHaveLength(50);
  const refused = hits.filter(({ status }) => status === 401).map(({ query }) => Number(query.slice(2)));
  expect(Math.max(...refused)).toBeLessThan(20);
});

test.each(TRANSPORTS)(
  "C1: a preflight by %s carries neither credential, and asks for both headers",
  async (transport) => {
    const { stage, notes } = lab;
    const tab = await lab.openTab({ transport });
    await tab.login();
    await tab.send(notes);
    const [preflight] = await stage.journal({ target: "api", method: "OPTIONS" });
    expect(preflight).toMatchObject({ status: 200, path: "/notes" });
    expect(preflight!.headers).not.toHaveProperty("api-key");
    expect(preflight!.headers).not.toHaveProperty("authorization");
    expect(preflight!.headers["access-control-request-headers"]?.split(/, ?/)).toEqual(
      expect.arrayContaining(["api-key", "authorization"]),
    );
  },
);

test("C11: a guard's 403 about the Api-Key is an ApiKeyError by every transport: no refresh, tokens kept", async () => {
  const { stage, notes } = lab;
  const made = await stage.command("keys", "create", "Stage", "--kind", "publishable", "--json");
  const { id, api_key } = JSON.parse(made.stdout) as { id: string; api_key: string };
  const tabs = await Promise.all(TRANSPORTS.map((transport) => lab.openTab({ transport, apiKey: api_key })));
  for (const tab of tabs) {
    await expect.poll(() => tab.login().then(() => "signed in", String), PATIENCE).toBe("signed in");
    await expect.poll(() => tab.send(notes, { skipRefresh: true }), PATIENCE).toMatchObject({ status: 200 });
  }
  await stage.command("keys", "revoke", id);
  for (const tab of tabs) {
    const { session } = (await tab.stored())!;
    await expect.poll(() => tab.send(notes), PATIENCE).toEqual({ error: "api_key_revoked" });
    expect((await tab.stored())?.session).toEqual(session);
  }
  expect(await lab.refreshes()).toBe(0);
});

test.each(TRANSPORTS)(
  "C37: by %s a request to an origin that is not named goes out bare, with one warning",
  async (transport) => {
    const { stage } = lab;
    const tab = await lab.openTab({ transport });
    const warnings: string[] = [];
    tab.page.on("console", (message) => {
      if (message.type() === "warning") warnings.push(message.text());
    });
    await tab.login();
    for (const path of ["/one", "/two"]) {
      expect(await tab.send(stage.other + path)).toEqual({ status: 200, body: { elsewhere: true } });
    }
    const hits = await stage.journal({ target: "other" });
    expect(hits.map(({ path }) => path)).toEqual(["/one", "/two"]);
    for (const { headers } of hits) {
      expect(headers).not.toHaveProperty("api-key");
      expect(headers).not.toHaveProperty("authorization");
    }
    expect(warnings).toEqual([expect.stringMatching(new RegExp(`^keybearer: ${stage.other} `))]);
  },
);

test.each(TRANSPORTS)("C37: by %s the bearer token follows no redirect to another origin", async (transport) => {
  const { stage, notes } = lab;
  const tab = await lab.openTab({ transport });
  await tab.login();
  const redirect = { kind: "redirect", location: `${stage.other}/elsewhere`, status: 307 } as const;
  await stage.inject({ target: "api", action: redirect });
  await tab.send(notes);
  const [arrived] = await stage.journal({ target: "other" });
  expect(arrived).toMatchObject({ path: "/elsewhere" });
  expect(arrived!.headers).not.toHaveProperty("authorization");
  expect(await stage.journal({ target: "api" })).toMatchObject([{ status: 307 }]);
});

test.each(TRANSPORTS)(
  "C37: by %s the Api-Key follows a redirect to another origin if that says in its preflight that it takes it",
  async (transport) => {
    const { stage, notes } = lab;
    const tab = await lab.openTab({ transport });
    await tab.login();
    await stage.inject({ target: "api", action: { kind: "redirect", location: `${stage.other}/elsewhere` } });
    expect(await tab.send(notes)).toEqual({ status: 200, body: { elsewhere: true } });
    const [asked, ...more] = await stage.journal({ target: "other", method: "OPTIONS" });
    expect(asked!.headers).toMatchObject({ "access-control-request-headers": "api-key" });
    expect(asked!.headers).not.toHaveProperty("api-key");
    expect(more).toEqual([]);
    const [arrived] = await stage.journal({ target: "other" });
    expect(arrived!.headers["api-key"]).toBe(stage.publishableKey);

    await stage.clearJournal();
    const headers = { "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "Authorization" };
    const refusal = { kind: "answer", status: 204, headers, cors: false } as const;
    await stage.inject({ target: "other", method: "OPTIONS", action: refusal });
    expect(await tab.send(notes)).toEqual({ error: transport === "fetch" ? "TypeError" : "ERR_NETWORK" });
    expect(await stage.journal({ target: "other", method: "OPTIONS" })).toHaveLength(1);
    expect(await stage.journal({ target: "other" })).toEqual([]);
  },
);

test("C25: a page of an origin that the application does not allow reads no answer, and a login says so", async () => {
  const tab = await lab.openTab({ url: lab.program.replace("127.0.0.1", "localhost") });
  const { username, password } = lab.stage.users[0]!;
  const code = await tab.page.evaluate(
    ([name, word]) =>
      window.client.login(name, word).then(
        () => "",
        (error: unknown) => (error as { code?: string }).code,
      ),
    [username, password] as const,
  );
  expect(code).toBe("service_unavailable");
});

test.each(TRANSPORTS)(
  "C23: by %s a request is aborted in the queue at once, and the shared refresh goes on",
  async (transport) => {
    const { stage, notes } = lab;
    const tab = await lab.openTab({ transport });
    await tab.login();
    await tab.spoilToken();
    await stage.inject({ target: "auth", path: REFRESH, times: 1, action: { kind: "gate_after", name: "refresh" } });
    const first = tab.send(notes);
    await stage.waitAtGate("refresh");
    const aborted = await tab.page.evaluate(async (url) => {
      const patience = new AbortController();
      const queued = window.send(`${url}?aborted`, {}, patience.signal);
      await new Promise((resolve) => setTimeout(resolve, 50));
      const from = performance.now();
      patience.abort();
      return { outcome: await queued, after: performance.now() - from };
    }, notes);
    expect(aborted.outcome).toEqual({ error: transport === "fetch" ? "AbortError" : "ERR_CANCELED" });
    expect(aborted.after).toBeLessThan(AT_ONCE);

    await stage.openGate("refresh");
    expect(await first).toEqual({ status: 200, body: [] });
    expect((await stage.journal({ target: "api" })).map(({ query }) => query)).toEqual(["", ""]);
    expect(await lab.refreshes()).toBe(1);
  },
);

test.each(TRANSPORTS)(
  "C23: by %s a request's own time runs out in the queue, and the refresh goes on",
  async (transport) => {
    const { stage, notes } = lab;
    const tab = await lab.openTab({ transport });
    await tab.login();
    await tab.spoilToken();
    await stage.inject({ target: "auth", path: REFRESH, times: 1, action: { kind: "gate_after", name: "refresh" } });
    const first = tab.send(notes);
    await stage.waitAtGate("refresh");
    const outcome = await tab.page.evaluate(
      ([url, isFetch]) =>
        isFetch ? window.send(url, {}, AbortSignal.timeout(100)) : window.send(url, { timeout: 100 }),
      [`${notes}?hasty`, transport === "fetch"] as const,
    );
    expect(outcome).toEqual({ error: transport === "fetch" ? "TimeoutError" : "ECONNABORTED" });
    await stage.openGate("refresh");
    expect(await first).toEqual({ status: 200, body: [] });
    expect((await stage.journal({ target: "api" })).map(({ query }) => query)).toEqual(["", ""]);
  },
);
