import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { openSite, type Site } from "./site.js";

const KEY = "kbp_of-the-environment";

let site: Site;

beforeAll(async () => {
  site = await openSite(inject("userProject"));
});

afterAll(async () => {
  await site.close();
});

/** What the program says. It ends by itself: nothing of the package keeps Node alive. */
async function run(program: string, environment: Readonly<Record<string, string>>): Promise<string> {
  const options = { cwd: inject("userProject"), env: { PATH: process.env.PATH, ...environment }, timeout: 60_000 };
  const { stdout } = await promisify(execFile)(process.execPath, [program, site.origin], options);
  return stdout.trim();
}

test.each(["node.mjs", "node.cjs"])("%s takes the key from the environment", async (program) => {
  expect(await run(program, { REACT_APP_AUTH_API_KEY: KEY })).toBe("sent");
  expect(site.takeKeys()).toEqual([KEY]);
});

test.each(["node.mjs", "node.cjs"])("%s without a key sends nothing", async (program) => {
  expect(await run(program, {})).toMatch(/^ConfigurationError: .*REACT_APP_AUTH_API_KEY/);
  expect(site.takeKeys()).toEqual([]);
});
