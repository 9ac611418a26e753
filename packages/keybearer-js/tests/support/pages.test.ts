import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launchChromium } from "./chromium.js";
import { writePage, type PageOptions } from "./pages.js";
import { startStage, type Stage } from "./stage.js";

const SOURCE = fileURLToPath(new URL("versions.page.ts", import.meta.url));
const define = { "process.env.REACT_APP_AUTH_API_KEY": "kbp_key" };

let folder: string;
let browser: Browser;
let stage: Stage;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "keybearer-pages-"));
  [browser, stage] = await Promise.all([launchChromium(), startStage({ pages: folder })]);
});

afterAll(async () => {
  await Promise.all([browser.close(), stage.close()]);
  rmSync(folder, { recursive: true });
});

test.each<[NonNullable<PageOptions["axios"]>, RegExp]>([
  ["newest", /^1\.(?!6\.0 )/],
  ["oldest", /^1\.6\.0 /],
])("a page with the %s axios runs under the strict policy", async (axios, version) => {
  const path = await writePage(SOURCE, folder, { define, axios });
  const page = await browser.newPage();
  await page.goto(`${stage.pages}/csp${path}`);
  expect(await page.title()).toMatch(version);
  expect(await page.title()).toContain(" production kbp_key");
  await page.close();
});
