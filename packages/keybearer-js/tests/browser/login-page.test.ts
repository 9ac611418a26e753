/** The way to the login page and back. */
import { expect, test } from "vitest";
import { setClock } from "./clock.js";
import { PATIENCE, REFRESH, startLab } from "./lab.js";
import type { Tab } from "./tab.js";
import { TRANSPORTS } from "./transports.js";

const lab = startLab();

/** The session is over at the service, and the guard knows it. */
async function endSession(tab: Tab): Promise<void> {
  await lab.endSession(tab);
  await expect.poll(() => tab.send(lab.notes, { skipRefresh: true }), PATIENCE).toMatchObject({ status: 401 });
}

/** The addresses that the tab goes to from now on. */
function watchNavigations(tab: Tab): string[] {
  const seen: string[] = [];
  tab.page.on("framenavigated", (frame) => seen.push(frame.url()));
  return seen;
}

test.each(TRANSPORTS)(
  "C5: by %s an expired session ends once, with one way to the login page, for all who waited",
  async (transport) => {
    const { stage, program } = lab;
    const tab = await lab.openTab({ transport, url: `${program}?page=2#here` });
    await tab.login();
    await endSession(tab);
    await tab.page.evaluate(() => {
      window.client.on("sessionExpired", ({ code }) => {
        sessionStorage.setItem("told", `${sessionStorage.getItem("told") ?? ""} ${code ?? ""}`);
      });
    });
    const navigations = watchNavigations(tab);
    await stage.clearJournal();
    await tab.page.evaluate((url) => {
      for (let index = 0; index < 10; index += 1) void window.send(`${url}?n=${index}`);
    }, lab.notes);
    await tab.page.waitForURL("**/login?*");

    expect(await tab.page.evaluate(() => window.returnAddress())).toBe("/program.page.html?page=2#here");
    expect(await tab.page.evaluate(() => sessionStorage.getItem("told"))).toBe(" session_revoked");
    expect(await tab.stored()).toMatchObject({ session: null, ended: "expired" });
    expect(await tab.send(lab.notes)).toMatchObject({ status: 401 });
    expect(navigations).toEqual([`${stage.pages}/login?returnTo=%2Fprogram.page.html%3Fpage%3D2%23here`]);
    expect(await stage.journal({ target: "auth", path: REFRESH })).toMatchObject([{ status: 401 }]);
  },
);

test("C39: a session that expires on the login page leads nowhere", async () => {
  const tab = await lab.openTab({ url: `${lab.stage.pages}/login?returnTo=%2Fhome` });
  await tab.login();
  await endSession(tab);
  const navigations = watchNavigations(tab);
  expect(await tab.send(lab.notes)).toEqual({ error: "session_expired" });
  expect(await tab.told("sessionExpired")).toMatchObject([{ event: { code: "session_revoked" } }]);
  expect(await tab.send(lab.notes)).toMatchObject({ status: 401 });
  expect(navigations).toEqual([]);
});

test("C39: a login page that sends everyone back is visited three times in 10 s, and afterwards again", async () => {
  const { stage, notes, program } = lab;
  const context = await lab.openContext();
  const first = await lab.openTab({ context, loginPage: "/program.page.html" });
  await first.login();
  await endSession(first);
  const record = JSON.stringify(await first.stored());
  await first.page.close();

  const tab = await lab.openTab({
    context,
    before: `
      localStorage.setItem("keybearer", ${JSON.stringify(record)});
      if (localStorage.getItem("later")) { ${setClock(10_000)} }
      addEventListener("load", () => {
        if (location.pathname === "/login") location.replace(window.returnAddress());
        else window.send(${JSON.stringify(notes)}).then((outcome) => (window.ended = outcome));
      });
    `,
  });
  const navigations = watchNavigations(tab);
  /** The ways to the login page so far, once the last session's end has led nowhere. */
  const visits = async (programs: number): Promise<number> => {
    await expect.poll(() => navigations.filter((url) => url === program).length, PATIENCE).toBe(programs);
    await tab.page.waitForFunction(() => "ended" in window);
    expect(await tab.told("sessionExpired")).toHaveLength(1);
    expect(tab.page.url()).toBe(program);
    return navigations.filter((url) => url.startsWith(`${stage.pages}/login?`)).length;
  };
  expect(await visits(3)).toBe(3);
  await tab.page.reload();
  expect(await visits(4)).toBe(3);
  await tab.page.evaluate(() => localStorage.setItem("later", "10 s"));
  await tab.page.reload();
  expect(await visits(8)).toBe(6);
});

const ELSEWHERE = [
  "https://elsewhere.example/path",
  "//elsewhere.example/path",
  "/\\elsewhere.example/path",
  "\\\\elsewhere.example",
  "/\t/elsewhere.example",
  "javascript:alert(1)",
  "data:text/html,elsewhere",
  "https://",
  "",
];

test("C39: the way back from the login page stays on the page's origin", async () => {
  const tab = await lab.openTab();
  const wayBack = async (wanted: string): Promise<string> => {
    await tab.page.goto(`${lab.stage.pages}/login?returnTo=${encodeURIComponent(wanted)}`);
    return tab.page.evaluate(() => window.returnAddress());
  };
  expect(await wayBack("/notes?page=2#here")).toBe("/notes?page=2#here");
  for (const wanted of ELSEWHERE) expect(await wayBack(wanted), wanted).toBe("/");
});
