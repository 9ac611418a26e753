/** A profile on disk in a browser as a person has it: one tab is in front, the others are hidden and can be frozen. */
import { spawn, type ChildProcess, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";
import { ARGUMENTS, findChromium } from "./chromium.js";

/** Milliseconds that the browser has to end by itself. */
const PATIENCE = 10_000;

export interface Profile {
  /** What the tabs share: storage, locks, permissions. */
  readonly context: BrowserContext;
  /** A new tab in front, loaded. */
  openTab(url: string): Promise<Page>;
  /** Closes the browser and opens it again with what the profile has stored. Tabs are gone. */
  restart(): Promise<void>;
  /** Closes the browser and removes the profile. */
  close(): Promise<void>;
}

export async function openProfile(): Promise<Profile> {
  const folder = mkdtempSync(join(tmpdir(), "keybearer-profile-"));
  let running = await startBrowser(folder);
  return {
    get context() {
      return running.context;
    },
    async openTab(url) {
      const page = await running.context.newPage();
      await page.goto(url);
      await page.bringToFront();
      return page;
    },
    async restart() {
      await running.end();
      running = await startBrowser(folder);
    },
    async close() {
      await running.end();
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/**
 * Freezes a tab as the browser does to save power: no script of it runs until `thaw`. The tab must not be the one in
 * front, which Chromium never freezes.
 */
export async function freeze(page: Page): Promise<{ thaw(): Promise<void> }> {
  const hidden = await page.evaluate(() => document.hidden);
  if (!hidden) throw new Error("A tab in front cannot be frozen: bring another one to the front first.");
  const protocol = await page.context().newCDPSession(page);
  await protocol.send("Page.setWebLifecycleState", { state: "frozen" });
  return {
    async thaw() {
      await protocol.send("Page.setWebLifecycleState", { state: "active" });
      await protocol.detach();
    },
  };
}

interface Running {
  readonly context: BrowserContext;
  end(): Promise<void>;
}

/** Connects to a browser of its own: one that playwright-core starts itself takes every tab for the one in front. */
async function startBrowser(folder: string): Promise<Running> {
  const argv = [...ARGUMENTS, "--headless", "--remote-debugging-port=0", `--user-data-dir=${folder}`, "about:blank"];
  const child = spawn(findChromium(), argv, { stdio: ["ignore", "ignore", "pipe"] });
  const address = await readAddress(child);
  child.stderr.resume(); // whoever writes into a full pipe waits for ever
  const browser = await chromium.connectOverCDP(address, { noDefaults: true });
  const [context] = browser.contexts();
  if (!context) throw new Error("Chromium has opened no profile.");
  return { context, end: () => end(browser, child) };
}

/** Chromium prints among other things where it listens. */
async function readAddress({ stderr }: ChildProcessByStdio<null, null, Readable>): Promise<string> {
  const lines: string[] = [];
  for await (const line of createInterface(stderr)) {
    const address = /^DevTools listening on (.+)$/.exec(line)?.[1];
    if (address) return address;
    lines.push(line);
  }
  throw new Error(`Chromium has not started:\n${lines.join("\n")}`);
}

async function end(browser: Browser, child: ChildProcess): Promise<void> {
  const ended = once(child, "exit");
  const impatience = setTimeout(() => child.kill("SIGKILL"), PATIENCE);
  const protocol = await browser.newBrowserCDPSession();
  await protocol.send("Browser.close");
  await ended;
  clearTimeout(impatience);
}
