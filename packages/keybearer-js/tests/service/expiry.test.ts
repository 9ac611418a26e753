/** Access tokens that really end: the service and the guard of the example say so. */
import { describe, expect, test } from "vitest";
import { FLAVOURS } from "./flavours.js";
import { NOTES, refreshes, signedIn, stageOfFile, tally, type Opened } from "./staged.js";

const LIFETIME = 2_000;

const stage = stageOfFile({ KEYBEARER_ACCESS_TOKEN_LIFETIME: String(LIFETIME / 1000) });

/** Until the access token is over, at the guard too. */
async function end({ notebook }: Opened): Promise<void> {
  const { expiresAt, clockOffset } = notebook.session;
  const left = expiresAt - clockOffset - Date.now();
  await new Promise((resolve) => setTimeout(resolve, Math.max(left, 0) + 1_000));
}

describe.each(FLAVOURS)("$name", (flavour) => {
  test("C3, C12: the end of a token costs 50 requests one refresh, and the next ones nothing", async () => {
    const opened = await signedIn(stage, flavour);
    expect((await opened.send(stage.api + NOTES)).status).toBe(200);
    await end(opened);
    await stage.clearJournal();
    const sent = await Promise.all(Array.from({ length: 50 }, () => opened.send(stage.api + NOTES)));
    expect(tally(sent.map(({ status }) => status))).toEqual(new Map([[200, 50]]));
    expect(await refreshes(stage)).toMatchObject([{ status: 200 }]);
    const hits = await stage.journal({ target: "api" });
    expect(hits.filter(({ status }) => status === 200)).toHaveLength(50);
    expect(hits.length).toBeLessThanOrEqual(100);
  });

  test("R11: logout with a token that is over ends the session by its refresh token", async () => {
    const opened = await signedIn(stage, flavour);
    await end(opened);
    expect(await opened.keybearer.logout()).toBe("revoked");
  });
});
