/** The page in a real browser, and the programs of the documentation, against the services that `make demo` starts. */
import { execFile } from "node:child_process";
import { rmSync } from "node:fs";
import { promisify } from "node:util";
import type { Browser, BrowserContextOptions } from "playwright-core";
import ts from "typescript";
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test } from "vitest";
import { launchChromium } from "../../../packages/keybearer-js/tests/support/chromium.js";
import { startDemo, type Demo } from "./demo.js";
import { filesOf, makeProject } from "./pages.js";
import { visit, type Visitor } from "./visitor.js";

const RUN = ["packages/keybearer-js/README.md", "docs/integrations/axios.md", "docs/integrations/fetch.md"];

/** Milliseconds after which what does not happen has failed. */
const HANG = 60_000;

const run = promisify(execFile);
let demo: Demo;
let browser: Browser;
let visitors: Visitor[] = [];

beforeAll(async () => {
  [demo, browser] = await Promise.all([startDemo(), launchChromium()]);
});

afterAll(async () => {
  await Promise.all([browser.close(), demo.stop()]);
});

afterEach(async () => {
  const complaints = visitors.flatMap((visitor) => visitor.complaints);
  await Promise.all(visitors.map((visitor) => visitor.close()));
  visitors = [];
  expect(complaints).toEqual([]);
});

async function open(path: string, options?: BrowserContextOptions): Promise<Visitor> {
  const visitor = await visit(browser, demo, path, options);
  visitors.push(visitor);
  return visitor;
}

test("from a wrong password to the logout", async () => {
  const { page, logIn, logged, waitForTokenToEnd } = await open("/");
  await logIn("a wrong password");
  await page.getByText("The email address or the password is not right.").waitFor();
  expect(await page.evaluate(() => localStorage.length)).toBe(0);
  await logIn();

  await page.getByRole("heading", { name: "Notes" }).waitFor();
  await page.getByLabel("A new note").fill("milk");
  await page.keyboard.press("Enter");
  await page.getByRole("listitem").filter({ hasText: "milk" }).waitFor();
  await page.reload();
  await page.getByRole("button", { name: "Delete “milk”" }).click();
  await page.getByText("You have no notes yet.").waitFor();

  await waitForTokenToEnd();
  await page.getByRole("button", { name: "Clear" }).click();
  await page.getByRole("button", { name: "Call it 10 times at once" }).click();
  await logged("answer").getByText("200 to GET /notes × 10").waitFor();
  expect(await logged("retried").allInnerTexts()).toEqual([expect.stringMatching(/\/notes met a 401 .* × 10$/)]);
  expect(await logged("refreshed").allInnerTexts()).toEqual([expect.stringMatching(/New tokens[^×]*$/)]);
  expect(await logged("failure").count()).toBe(0);

  const stored = await page.evaluate(() => localStorage.getItem("keybearer") ?? "");
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  const token = /"accessToken":"([^"]+)"/.exec(stored)?.[1] ?? "";
  expect(await page.evaluate(() => localStorage.getItem("keybearer"))).not.toContain("Token");
  await expect.poll(() => codeOf(token), { timeout: HANG }).toBe("access_token_revoked");
});

test("a session that is ended elsewhere leads to the login page, and back to where one was", async () => {
  const userAgent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
  const [here, there] = await Promise.all([open("/sessions"), open("/sessions", { userAgent })]);
  for (const { page, logIn } of [here, there]) {
    await logIn();
    await page.getByText("this one").waitFor();
    expect(new URL(page.url()).pathname).toBe("/sessions");
  }

  await here.page.reload();
  const other = here.page.getByText("Firefox 140 on Linux");
  await here.page.getByRole("button", { name: "End the session of Firefox 140 on Linux" }).click();
  await other.waitFor({ state: "detached" });

  await there.page.getByRole("button", { name: "Call the service" }).click();
  await there.page.getByText("Your session has ended.").waitFor();
  expect(new URL(there.page.url()).searchParams.get("returnTo")).toBe("/sessions");
  await there.logIn();
  await there.page.getByText("this one").waitFor();
  expect(new URL(there.page.url()).pathname).toBe("/sessions");
  expect(await there.logged("sessionExpired").innerText()).toContain("session_revoked");

  await here.page.getByRole("link", { name: "Notes" }).click();
  await here.page.getByRole("link", { name: "Sessions" }).click();
  await other.waitFor();
  await here.page.getByRole("button", { name: "End all others" }).click();
  await other.waitFor({ state: "detached" });
  expect(await here.page.getByRole("main").getByRole("listitem").count()).toBe(1);
});

test("a logout in one tab signs the other out", async () => {
  const { page, logIn } = await open("/notes");
  await logIn();
  await page.getByRole("heading", { name: "Notes" }).waitFor();
  const other = await page.context().newPage();
  await other.goto(`${demo.page}/sessions`);
  await other.getByRole("button", { name: "Log out" }).first().click();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
});

test.each(RUN)("first.ts of %s gets the notes", async (page) => {
  const { outputText } = ts.transpileModule(filesOf(page).get("first.ts") ?? "", {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 },
  });
  const addressed = outputText
    .replaceAll("https://auth.example.com", demo.auth)
    .replaceAll("https://api.example.com", demo.notes)
    .replaceAll("user@example.com", demo.username)
    .replaceAll("correct horse battery", demo.password);
  const folder = makeProject([["first.mjs", addressed]]);
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const keys = { REACT_APP_AUTH_API_KEY: demo.pageKey, SHOP_API_KEY: demo.pageKey };
  const { stdout } = await run(process.execPath, ["first.mjs"], { cwd: folder, env: { ...process.env, ...keys } });
  expect(stdout).toBe("[]\n");
});

test("too many attempts: the page says how long to wait", async () => {
  const { page } = await open("/login");
  const username = "nobody@example.com";
  const attempts = Array.from({ length: 40 }, () => logInFromHere(username));
  expect(await Promise.all(attempts)).toContain(429);
  await page.getByLabel("Email address or phone number").fill(username);
  await page.getByLabel("Password").fill("a guess");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByText(/^Too many attempts. Try again in \d+ s.$/).waitFor();
  expect(await page.getByRole("button", { name: "Log in" }).isDisabled()).toBe(true);
});

test("services out of reach are said to be so, and nobody is signed out", async () => {
  const [signedIn, signedOut] = await Promise.all([open("/notes"), open("/login")]);
  await signedIn.logIn();
  await signedIn.page.getByRole("heading", { name: "Notes" }).waitFor();
  await demo.stop();

  await signedOut.logIn();
  await signedOut.page.getByText("The authentication service cannot be reached.").waitFor();
  await signedIn.page.getByLabel("A new note").fill("milk");
  await signedIn.page.keyboard.press("Enter");
  await signedIn.page.getByText("The notes service cannot be reached.").waitFor();
  expect(new URL(signedIn.page.url()).pathname).toBe("/notes");
});

function headers(): Record<string, string> {
  return { "Api-Key": demo.pageKey, "Content-Type": "application/json" };
}

/** The status. */
async function logInFromHere(username: string): Promise<number> {
  const body = JSON.stringify({ username, password: "a guess" });
  return (await fetch(`${demo.auth}/v1/api/oauth/token`, { method: "POST", headers: headers(), body })).status;
}

/** With what code the notes service refuses the access token. */
async function codeOf(token: string): Promise<string | undefined> {
  const answer = await fetch(`${demo.notes}/notes`, { headers: { ...headers(), Authorization: `Bearer ${token}` } });
  return ((await answer.json()) as { errors?: { code: string }[] }).errors?.[0]?.code;
}
