/** What the tests of a file share: a stage, a browser, and the pages that are built for that stage. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Browser, BrowserContext, BrowserContextOptions } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { launchChromium } from "../support/chromium.js";
import { writePage } from "../support/pages.js";
import { openProfile, type Profile } from "../support/profile.js";
import { startStage, type Stage } from "../support/stage.js";
import type { PageOptions } from "./program.page.js";
import { openTab, type Tab } from "./tab.js";

export const REFRESH = "/v1/api/oauth/token/refresh";
export const REVOKE = "/v1/api/oauth/token/revoke";

/** For `expect.poll`, in milliseconds: so long may it take on a busy machine. */
export const PATIENCE = { timeout: 20_000 };

/** Milliseconds that the browser has to close a profile. Once in some thousand times it never answers. */
const CLOSING = 20_000;

export interface Opening extends PageOptions {
  /** The profile to open the tab in. Default: one of its own. */
  readonly context?: BrowserContext;
  /** Default: the program. `{origin}/login` has the same program. */
  readonly url?: string;
  /** Runs in the tab before each page that is loaded there. */
  readonly before?: string;
}

export interface Lab {
  readonly stage: Stage;
  /** The resource: guarded by the real example. */
  readonly notes: string;
  /** Pages: the program, the same with bodies to send, and one in React. */
  readonly program: string;
  readonly bodies: string;
  readonly react: string;
  /** A profile of its own, until the test ends. All its tabs are visible. */
  openContext: (options?: BrowserContextOptions) => Promise<BrowserContext>;
  /** The same in a browser of its own, where one tab is in front and the others are hidden. */
  openProfile: () => Promise<Profile>;
  openTab: (opening?: Opening) => Promise<Tab>;
  /** Ends the session of whoever is signed in in the tab, which is not told. */
  endSession: (tab: Tab) => Promise<void>;
  /** How many refreshes have reached the service's proxy. */
  refreshes: () => Promise<number>;
}

/**
 * A lab from the file's first test to its last. After each test the profiles are closed, faults and journal are cleared,
 * and it is seen that no page met an exception of its own, and that no token or key stood in a URL or on a console.
 */
export function startLab(settings: Readonly<Record<string, string>> = {}): Lab {
  const folder = mkdtempSync(join(tmpdir(), "keybearer-browser-"));
  const exceptions: string[] = [];
  const printed: string[] = [];
  const profiles: Profile[] = [];
  let stage: Stage;
  let browser: Browser;

  beforeAll(async () => {
    [stage, browser] = await Promise.all([startStage({ settings, pages: folder }), launchChromium()]);
    await writePages(stage, folder);
  });

  afterEach(async () => {
    if (!(await closeAll([...browser.contexts(), ...profiles.splice(0)]))) {
      console.warn("The browser has not closed a profile: the tests after this one have another browser.");
      await browser.close(); // which kills the one that does not answer
      browser = await launchChromium();
    }
    const urls = (await stage.journal()).map(({ path, query }) => `${path}?${query}`);
    await stage.clearFaults();
    await stage.clearJournal();
    expect(exceptions.splice(0)).toEqual([]);
    for (const text of [...printed.splice(0), ...urls]) expect(text).not.toMatch(/kb[prs]_|eyJ/);
  });

  afterAll(async () => {
    await Promise.all([browser.close(), stage.close()]);
    rmSync(folder, { recursive: true });
  });

  return {
    get stage() {
      return stage;
    },
    get notes() {
      return `${stage.api}/notes`;
    },
    get program() {
      return `${stage.pages}/program.page.html`;
    },
    get bodies() {
      return `${stage.pages}/bodies.page.html`;
    },
    get react() {
      return `${stage.pages}/react.page.html`;
    },
    openContext: (how) => browser.newContext(how),
    async openProfile() {
      const profile = await openProfile();
      profiles.push(profile);
      return profile;
    },
    async openTab({ context, url, before = "", ...options } = {}) {
      const page = await (context ?? (await browser.newContext())).newPage();
      page.on("pageerror", (error) => exceptions.push(String(error)));
      page.on("console", (message) => printed.push(message.text()));
      await page.bringToFront();
      await page.addInitScript(`window.options = ${JSON.stringify(options)};\n${before}`);
      return openTab(page, url ?? `${stage.pages}/program.page.html`, stage.users[0]!);
    },
    async endSession(tab) {
      const { session } = (await tab.stored())!;
      const headers = { "Api-Key": stage.publishableKey, "Content-Type": "application/json" };
      const body = JSON.stringify({ refresh_token: session!.refreshToken });
      const answer = await fetch(stage.auth + REVOKE, { method: "POST", headers, body });
      expect(answer.status).toBe(200);
    },
    refreshes: async () => (await stage.journal({ target: "auth", path: REFRESH })).length,
  };
}

/** Whether everything was closed in time. */
async function closeAll(opened: readonly (BrowserContext | Profile)[]): Promise<boolean> {
  const closed = Promise.all(opened.map((each) => each.close())).then(() => true);
  const limit = new AbortController();
  const late = setTimeout(CLOSING, false, { signal: limit.signal }).catch(() => false);
  return Promise.race([closed, late]).finally(() => limit.abort());
}

async function writePages(stage: Stage, folder: string): Promise<void> {
  const define = {
    "process.env.NODE_ENV": "development",
    "process.env.REACT_APP_AUTH_API_KEY": stage.publishableKey,
    "process.env.AUTH_BASE_URL": stage.baseURL,
    "process.env.ORIGINS": stage.api,
  };
  for (const name of ["program.page.ts", "bodies.page.ts", "react.page.tsx"]) {
    await writePage(fileURLToPath(new URL(name, import.meta.url)), folder, { define });
  }
  mkdirSync(join(folder, "login"));
  copyFileSync(join(folder, "program.page.html"), join(folder, "login", "index.html"));
}
