/** React, in StrictMode and a development build: every component is mounted twice. */
import { expect, test } from "vitest";
import { PATIENCE, startLab } from "./lab.js";
import type { Tab } from "./tab.js";

const lab = startLab();

/** What both components have drawn. */
const drawn = (tab: Tab) =>
  tab.page.evaluate(() => [...document.querySelectorAll("output")].map(({ textContent }) => textContent));

const expectDrawn = (tab: Tab, text: string) => expect.poll(() => drawn(tab), PATIENCE).toEqual([text, text]);

test("C44: useSession draws a login and a logout, in whatever tab they happen", async () => {
  const { stage } = lab;
  const [user] = stage.users;
  const context = await lab.openContext();
  const [tab, other] = [await lab.openTab({ context, url: lab.react }), await lab.openTab({ context, url: lab.react })];
  await expectDrawn(tab, "signedOut nobody");
  await tab.page.fill("[name=username]", user!.username);
  await tab.page.fill("[name=password]", user!.password);
  await tab.page.click("text=Log in");
  await expectDrawn(tab, `signedIn ${user!.username}`);
  await expectDrawn(other, `signedIn ${user!.username}`);
  await other.page.click("#leave");
  await expectDrawn(other, "signedOut nobody");
  await expectDrawn(tab, "signedOut nobody");
});

test("C44: a page that is loaded with an access token that is over causes one refresh in StrictMode", async () => {
  const { stage } = lab;
  const context = await lab.openContext();
  const before = await lab.openTab({ context });
  await before.login();
  await before.spoilToken();
  const tab = await lab.openTab({ context, url: lab.react });
  expect(await tab.page.evaluate(() => window.mounted)).toBe(2);
  await expect.poll(() => tab.told("retried"), PATIENCE).toHaveLength(2);
  await expectDrawn(tab, `signedIn ${stage.users[0]!.username}`);
  expect(await lab.refreshes()).toBe(1);
});

test("C44: useSession draws the end of a session that has expired", async () => {
  const { stage, notes } = lab;
  const tab = await lab.openTab({ url: lab.react, loginPage: "/react.page.html" });
  await tab.login();
  await expectDrawn(tab, `signedIn ${stage.users[0]!.username}`);
  await lab.endSession(tab);
  await expect.poll(() => tab.send(notes), PATIENCE).toEqual({ error: "session_expired" });
  await expectDrawn(tab, "signedOut nobody");
});
