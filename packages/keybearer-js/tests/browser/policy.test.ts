/** Under a Content-Security-Policy that allows the page's own scripts and three origins to ask, and nothing else. */
import { expect, test } from "vitest";
import { startLab } from "./lab.js";
import { TRANSPORTS } from "./transports.js";

declare global {
  interface Window {
    violations: string[];
  }
}

const WATCH = `
  window.violations = [];
  addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) => {
    window.violations.push(effectiveDirective + " " + blockedURI);
  });
`;

const lab = startLab();

const strict = (url: string): string => url.replace(lab.stage.pages, `${lab.stage.pages}/csp`);

test.each(TRANSPORTS)(
  "C45: login, refresh, retry and logout by %s need nothing that a strict policy forbids",
  async (transport) => {
    const tab = await lab.openTab({ transport, url: strict(lab.program), before: WATCH });
    await tab.login();
    await tab.spoilToken();
    expect(await tab.send(lab.notes)).toEqual({ status: 200, body: [] });
    expect(await tab.page.evaluate(() => window.client.logout())).toBe("revoked");
    expect(await lab.refreshes()).toBe(1);
    expect(await tab.page.evaluate(() => window.violations)).toEqual([]);
  },
);

test("C45: React draws the session under a strict policy", async () => {
  const tab = await lab.openTab({ url: strict(lab.react), before: WATCH });
  expect(await tab.page.textContent("#header")).toBe("signedOut nobody");
  expect(await tab.page.evaluate(() => window.violations)).toEqual([]);
});

test("C45: what the policy forbids is noticed", async () => {
  const tab = await lab.openTab({ url: strict(lab.program), before: WATCH });
  await tab.page.evaluate(() => document.body.append(Object.assign(document.createElement("script"), { text: "0" })));
  await tab.page.waitForFunction(() => window.violations.length > 0);
  expect(await tab.page.evaluate(() => window.violations)).toEqual(["script-src-elem inline"]);
});
