import { cpSync } from "node:fs";
import { join } from "node:path";
import { build as buildWithEsbuild } from "esbuild";
import type { Browser } from "playwright-core";
import { build as buildWithVite } from "vite";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import webpack from "webpack";
import { launchChromium } from "../support/chromium.js";
import { openSite, type Site } from "./site.js";

const KEY = "kbp_of-the-build";
const EXPRESSION = "process.env.REACT_APP_AUTH_API_KEY";

let browser: Browser;
let project: string;
let site: Site;

beforeAll(async () => {
  project = inject("userProject");
  [browser, site] = await Promise.all([launchChromium(), openSite(project)]);
});

afterAll(async () => {
  await Promise.all([browser.close(), site.close()]);
});

/** A user's build into `folder` of the project, which then has `page.html`. */
type Build = (folder: string, apiKey: string | undefined) => Promise<void>;

const withEsbuild: Build = async (folder, apiKey) => {
  await buildWithEsbuild({
    entryPoints: [join(project, "page.mjs")],
    outfile: join(project, folder, "page.mjs"),
    bundle: true,
    format: "esm",
    define: apiKey === undefined ? {} : { [EXPRESSION]: JSON.stringify(apiKey) },
  });
  cpSync(join(project, "page.html"), join(project, folder, "page.html"));
};

/** As Create React App does: all of `process.env` is replaced, with an object that lacks what is not set. */
const withWebpack: Build = async (folder, apiKey) => {
  const compiler = webpack({
    mode: "production",
    context: project,
    entry: "./page.mjs",
    output: { path: join(project, folder), filename: "page.mjs", module: true },
    experiments: { outputModule: true },
    plugins: [
      new webpack.DefinePlugin({
        "process.env": { NODE_ENV: '"production"', ...(apiKey && { REACT_APP_AUTH_API_KEY: JSON.stringify(apiKey) }) },
      }),
    ],
  });
  const stats = await new Promise<webpack.Stats | undefined>((resolve, reject) => {
    compiler.run((error, result) => {
      if (error) reject(error);
      else resolve(result);
    });
  });
  expect(stats?.toJson("errors-warnings")).toMatchObject({ errors: [], warnings: [] });
  cpSync(join(project, "page.html"), join(project, folder, "page.html"));
};

const withVite: Build = async (folder, apiKey) => {
  await buildWithVite({
    configFile: false,
    root: project,
    base: "./",
    logLevel: "error",
    define: apiKey === undefined ? {} : { [EXPRESSION]: JSON.stringify(apiKey) },
    build: { outDir: folder, rolldownOptions: { input: join(project, "page.html") } },
  });
};

/** What the page says when it is done. */
async function open(path: string): Promise<string> {
  const page = await browser.newPage();
  await page.goto(site.origin + path);
  await page.waitForFunction(() => document.title !== "running");
  const title = await page.title();
  await page.close();
  return title;
}

const BUILDS = { esbuild: withEsbuild, webpack: withWebpack, vite: withVite };

test.each(Object.entries(BUILDS))("%s puts the key into the bundle", async (name, build) => {
  await build(`${name}-with-key`, KEY);
  expect(await open(`/${name}-with-key/page.html`)).toBe("sent");
  expect(site.takeKeys()).toEqual([KEY]);
});

test.each(Object.entries(BUILDS))("%s without a key: the page sends nothing", async (name, build) => {
  await build(`${name}-without-key`, undefined);
  expect(await open(`/${name}-without-key/page.html`)).toMatch(/^ConfigurationError: .*REACT_APP_AUTH_API_KEY/);
  expect(site.takeKeys()).toEqual([]);
});

test("modules as they are, in a page without bundler and without `process`", async () => {
  expect(await open("/bare.html?key=kbp_of-the-option")).toBe("sent");
  expect(site.takeKeys()).toEqual(["kbp_of-the-option"]);
  expect(await open("/bare.html")).toMatch(/^ConfigurationError: .*REACT_APP_AUTH_API_KEY/);
  expect(site.takeKeys()).toEqual([]);
});
