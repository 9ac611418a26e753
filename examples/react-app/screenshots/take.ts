/** The pictures of docs/images: the demo as people see it, light and dark. */
import { execFileSync } from "node:child_process";
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launchChromium } from "../../../packages/keybearer-js/tests/support/chromium.js";
import { startDemo, type Demo } from "../tests/demo.js";
import { visit, type Visitor } from "../tests/visitor.js";

const IMAGES = fileURLToPath(new URL("../../../docs/images", import.meta.url));
const NOTES = ["Call the landlord about the heating", "Bread, milk, coffee", "Read RFC 9700 before Friday"];
const OTHER_BROWSER = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:150.0) Gecko/20100101 Firefox/150.0";
const MOST_BYTES = 200_000;

let demo: Demo;
let browser: Browser;

beforeAll(async () => {
  [demo, browser] = await Promise.all([startDemo(), launchChromium()]);
  await writeNotes();
});

afterAll(async () => {
  await Promise.all([browser.close(), demo.stop()]);
});

async function writeNotes(): Promise<void> {
  const { page, logIn, close } = await visit(browser, demo, "/notes", { userAgent: OTHER_BROWSER });
  await logIn();
  for (const note of NOTES) {
    await page.getByLabel("A new note").fill(note);
    await page.keyboard.press("Enter");
    await page.getByText(note).waitFor();
  }
  await close();
}

test.each(["light", "dark"] as const)("%s", async (colorScheme) => {
  const viewport = { width: 1120, height: 620 };
  const visitor = await visit(browser, demo, "/", { colorScheme, viewport, deviceScaleFactor: 2, locale: "en-GB" });
  const { page, logIn, logged, waitForTokenToEnd } = visitor;
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  await take(visitor, `login-${colorScheme}`);

  await logIn();
  await waitForTokenToEnd();
  await page.getByRole("button", { name: "Call it 10 times at once" }).click();
  await logged("answer").getByText("× 10").waitFor();
  await take(visitor, `notes-${colorScheme}`);

  await page.getByRole("link", { name: "Sessions" }).click();
  await page.getByText("this one").waitFor();
  await take(visitor, `sessions-${colorScheme}`);
  await page.getByRole("button", { name: "Log out" }).first().click();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  await visitor.close();
});

async function take({ page }: Visitor, name: string): Promise<void> {
  const path = join(IMAGES, `react-app-${name}.png`);
  mkdirSync(IMAGES, { recursive: true });
  await page.mouse.move(0, 0);
  await page.screenshot({ path, animations: "disabled", caret: "hide" });
  execFileSync("pngquant", ["--quality", "90-100", "--strip", "--force", "--output", path, path]);
  expect(statSync(path).size).toBeLessThan(MOST_BYTES);
}
