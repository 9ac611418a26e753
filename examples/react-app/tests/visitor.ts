/** A person in front of the page, in a browser profile of their own. */
import type { Browser, BrowserContextOptions, Locator, Page } from "playwright-core";
import type { Demo } from "./demo.js";

export interface Visitor {
  readonly page: Page;
  /** Errors of scripts, and what the Content-Security-Policy has refused. */
  readonly complaints: readonly string[];
  /** Fills in the login page with the keyboard. */
  readonly logIn: (password?: string) => Promise<void>;
  /** The lines of the log of this kind. */
  readonly logged: (kind: string) => Locator;
  /** Until the service's access token of this page has ended. */
  readonly waitForTokenToEnd: () => Promise<void>;
  readonly close: () => Promise<void>;
}

export async function visit(
  browser: Browser,
  demo: Demo,
  path: string,
  options: BrowserContextOptions = {},
): Promise<Visitor> {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.text().includes("Content Security Policy")) complaints.push(message.text());
  });
  await page.goto(demo.page + path);
  return {
    page,
    complaints,
    async logIn(password = demo.password) {
      await page.getByLabel("Email address or phone number").fill(demo.username);
      await page.keyboard.press("Tab");
      await page.keyboard.type(password);
      await page.keyboard.press("Enter");
    },
    logged: (kind) => page.getByRole("log").locator("li", { has: page.getByText(kind, { exact: true }) }),
    waitForTokenToEnd: () => page.getByText("The access token has ended").waitFor(),
    close: () => context.close(),
  };
}
