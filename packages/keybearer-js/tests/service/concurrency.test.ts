import { describe, expect, test } from "vitest";
import { FLAVOURS, type Received } from "./flavours.js";
import {
  bearer,
  logIn,
  NOTES,
  open,
  REFRESH,
  refreshes,
  rejection,
  signedIn,
  tally,
  stageOfFile,
  type Opened,
} from "./staged.js";

const stage = stageOfFile();

function many(count: number, { send }: Opened, url: string): Promise<Received>[] {
  return Array.from({ length: count }, () => send(url));
}

async function statuses(sent: readonly Promise<Received>[]): Promise<Map<number, number>> {
  return tally((await Promise.all(sent)).map(({ status }) => status));
}

describe.each(FLAVOURS)("$name", (flavour) => {
  test("C12: 50 requests whose token is over cost one refresh and 50 retries", async () => {
    const opened = await signedIn(stage, flavour);
    opened.notebook.spoil();
    const spoilt = bearer(opened.notebook.session.accessToken);
    // None is answered before all have been sent.
    await stage.inject({ target: "api", times: 50, action: { kind: "gate", name: "all" } });
    const sent = many(50, opened, stage.api + NOTES);
    await stage.waitAtGate("all", 50);
    await stage.openGate("all");
    expect(await statuses(sent)).toEqual(new Map([[200, 50]]));
    expect(await refreshes(stage)).toHaveLength(1);
    const hits = await stage.journal({ target: "api" });
    expect(tally(hits.map(({ headers }) => headers.authorization))).toEqual(
      new Map([
        [spoilt, 50],
        [bearer(opened.notebook.session.accessToken), 50],
      ]),
    );
    expect(opened.events.filter((name) => name === "retried")).toHaveLength(50);
  });

  test("C12, C13: 401s before, during and after the refresh, and requests started meanwhile, share it", async () => {
    const opened = await signedIn(stage, flavour);
    const { notebook } = opened;
    notebook.spoil();
    const spoilt = bearer(notebook.session.accessToken);
    const sent: Promise<Received>[] = [];
    for (const when of ["during", "after"]) {
      await stage.inject({ target: "api", times: 5, action: { kind: "gate", name: when } });
      sent.push(...many(5, opened, `${stage.api}/notes?${when}`));
      await stage.waitAtGate(when, 5);
    }
    await stage.inject({ target: "auth", path: REFRESH, action: { kind: "gate", name: "refresh" } });
    sent.push(...many(5, opened, `${stage.api}/notes?before`));
    await stage.waitAtGate("refresh");
    const meanwhile = many(5, opened, `${stage.api}/notes?meanwhile`);
    await stage.openGate("during");
    await expect.poll(() => answers("during")).toEqual(Array(5).fill(401));
    expect(await answers("meanwhile")).toEqual([]);
    await stage.openGate("refresh");
    expect(await statuses(meanwhile)).toEqual(new Map([[200, 5]]));
    await stage.openGate("after");
    expect(await statuses(sent)).toEqual(new Map([[200, 15]]));

    expect(await refreshes(stage)).toHaveLength(1);
    const fresh = bearer(notebook.session.accessToken);
    expect(await bearers("meanwhile")).toEqual(new Map([[fresh, 5]]));
    for (const when of ["before", "during", "after"]) {
      expect(await bearers(when)).toEqual(
        new Map([
          [spoilt, 5],
          [fresh, 5],
        ]),
      );
    }
  });

  test("C13: requests that wait reject when the refresh gets no answer; none of them goes out", async () => {
    const opened = await signedIn(stage, flavour);
    opened.notebook.spoil();
    await stage.inject({ target: "auth", path: REFRESH, action: { kind: "gate", name: "refresh" } });
    const first = rejection(opened.send(`${stage.api}/notes?first`));
    await stage.waitAtGate("refresh");
    const waiting = many(5, opened, `${stage.api}/notes?waiting`).map(rejection);
    await stage.stopService();
    try {
      await stage.openGate("refresh");
      for (const error of await Promise.all([first, ...waiting])) {
        expect(error).toMatchObject({ code: "refresh_unavailable" });
        expect((error as { retryAfter: number }).retryAfter).toBeGreaterThan(0);
      }
      expect(await answers("waiting")).toEqual([]);
      expect(opened.keybearer.session.status).toBe("signedIn");
    } finally {
      await stage.startService();
    }
  });

  test("C23: a request that waits for the refresh can be aborted; the refresh goes on for the others", async () => {
    const opened = await signedIn(stage, flavour);
    opened.notebook.spoil();
    await stage.inject({ target: "auth", path: REFRESH, action: { kind: "gate", name: "refresh" } });
    const first = opened.send(`${stage.api}/notes?first`);
    await stage.waitAtGate("refresh");
    const controller = new AbortController();
    const aborted = [controller.signal, AbortSignal.abort()].map((signal) =>
      rejection(opened.send(`${stage.api}/notes?aborted`, { signal })),
    );
    controller.abort();
    // The gate is still closed: nothing but the abortion can have ended them.
    for (const error of await Promise.all(aborted)) {
      expect((error as Error).name).toBe(flavour.name === "fetch" ? "AbortError" : "CanceledError");
    }
    await stage.openGate("refresh");
    expect((await first).status).toBe(200);
    expect(await answers("aborted")).toEqual([]);
    expect(await refreshes(stage)).toMatchObject([{ status: 200 }]);
  });

  test("C10: a 401 of a token that is no longer the current one is retried without a refresh", async () => {
    const opened = await signedIn(stage, flavour);
    opened.notebook.spoil();
    await stage.inject({ target: "api", times: 1, action: { kind: "gate", name: "slow" } });
    const slow = opened.send(`${stage.api}/notes?slow`);
    await stage.waitAtGate("slow");
    expect((await opened.send(stage.api + NOTES)).status).toBe(200);
    await stage.openGate("slow");
    expect((await slow).status).toBe(200);
    expect(await answers("slow")).toEqual([401, 200]);
    expect(await refreshes(stage)).toHaveLength(1);
  });

  test("C19: a logout during the refresh wins over its answer", async () => {
    const { keybearer, send, notebook, events } = await signedIn(stage, flavour);
    notebook.spoil();
    await stage.inject({ target: "auth", path: REFRESH, action: { kind: "gate_after", name: "refresh" } });
    const late = rejection(send(stage.api + NOTES));
    await stage.waitAtGate("refresh");
    await keybearer.logout();
    await stage.openGate("refresh");
    expect(await late).toMatchObject({ code: "session_expired" });
    expect(notebook.entry).toMatchObject({ session: null, ended: "signed_out" });
    expect(keybearer.session.status).toBe("signedOut");
    expect(events).toEqual(["signedOut"]);
    expect(await answers("")).toEqual([401]);
  });

  test("C19: a login as B during A's refresh never ends with A's tokens, nor does A's request go out as B", async () => {
    const a = await signedIn(stage, flavour);
    a.notebook.spoil();
    const spoilt = bearer(a.notebook.session.accessToken);
    await stage.inject({ target: "auth", path: REFRESH, action: { kind: "gate_after", name: "refresh" } });
    const ofA = a.send(stage.api + NOTES);
    await stage.waitAtGate("refresh");
    await logIn(stage, a, 1);
    const ofB = bearer(a.notebook.session.accessToken);
    await stage.openGate("refresh");
    expect((await ofA).status).toBe(401);
    expect(await a.keybearer.profile()).toMatchObject({ id: stage.users[1]!.id });
    expect(bearer(a.notebook.session.accessToken)).toBe(ofB);
    expect(await bearers("")).toEqual(new Map([[spoilt, 1]]));
  });

  test("C28: before giving up on a 401 the client takes over what another client has stored", async () => {
    const a = await signedIn(stage, flavour);
    const b = await open(stage, flavour, { storage: a.notebook });
    a.notebook.spoil();
    await stage.inject({ target: "api", times: 1, action: { kind: "gate", name: "slow" } });
    const slow = a.send(stage.api + NOTES);
    await stage.waitAtGate("slow");
    await b.keybearer.refresh();
    await stage.openGate("slow");
    expect((await slow).status).toBe(200);
    expect(await refreshes(stage)).toHaveLength(1);
    expect(a.events).toEqual(["refreshed", "retried"]);
  });

  test("C28: a refused refresh ends nothing when another client has got new tokens meanwhile", async () => {
    const b = await signedIn(stage, flavour);
    const a = await open(stage, flavour, {
      storage: b.notebook,
      fetch: async (input, init) => {
        if (input !== stage.auth + REFRESH) return fetch(input, init);
        await b.keybearer.refresh();
        return new Response(null, { status: 401 });
      },
    });
    expect(await a.keybearer.refresh()).toMatchObject({ id: stage.users[0]!.id });
    expect(a.keybearer.session.status).toBe("signedIn");
    expect((await a.send(stage.api + NOTES)).status).toBe(200);
    expect(a.events).not.toContain("sessionExpired");
  });

  /** What the requests to the example were answered that have this query. */
  async function answers(query: string): Promise<(number | null)[]> {
    const hits = await stage.journal({ target: "api" });
    return hits.filter((hit) => hit.query === query).map(({ status }) => status);
  }

  async function bearers(query: string): Promise<Map<string | undefined, number>> {
    const hits = await stage.journal({ target: "api" });
    return tally(hits.filter((hit) => hit.query === query).map(({ headers }) => headers.authorization));
  }
});
