/** Programs around a client: several users in one, duplicate copies of the package, and its end (C41-C43). */
import { execFile } from "node:child_process";
import { createServer, type Server } from "node:http";
import { mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { FLAVOURS } from "./flavours.js";
import { logIn, NOTES, Notebook, open, rejection, signedIn, stageOfFile } from "./staged.js";

const stage = stageOfFile();
const folder = mkdtempSync(join(tmpdir(), "keybearer-program-"));

afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** What a program of this folder prints, bundled as users bundle theirs. It must end by itself. */
async function run(source: string, argument: string): Promise<string> {
  const program = join(folder, source.replace(".ts", ".mjs"));
  await build({
    entryPoints: [fileURLToPath(new URL(source, import.meta.url))],
    outfile: program,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
  });
  const { stdout } = await promisify(execFile)(process.execPath, [program, argument], { timeout: 60_000 });
  return stdout.trim();
}

describe("C42", () => {
  let server: Server;
  let address: string;

  /** Tells who asks; every twentieth request is told that its token is over. */
  beforeAll(async () => {
    let requests = 0;
    server = createServer(({ headers }, response) => {
      requests += 1;
      const [, claims = ""] = (headers.authorization ?? "").split(".");
      response.statusCode = requests % 20 === 0 ? 401 : 200;
      response.setHeader("Content-Type", "application/json");
      response.end(Buffer.from(claims, "base64url"));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });

  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  test.each(FLAVOURS)("two users in one process, and no crossover ($name)", async (flavour) => {
    const origins = [stage.api, address];
    const clients = await Promise.all(
      [0, 1].map(async (user) => {
        const opened = await open(stage, flavour, { origins });
        await logIn(stage, opened, user);
        return { ...opened, id: stage.users[user]!.id };
      }),
    );
    const work = async ({ send, id }: (typeof clients)[number]): Promise<void> => {
      for (let request = 0; request < 50; request += 1) {
        const { status, data } = await send(address);
        // A 401 may come twice in a row: then it is the caller's.
        if (status === 200) expect(data).toMatchObject({ sub: id });
      }
    };
    const workers = Array.from({ length: 50 }, (_, index) => work(clients[index % 2]!));
    await Promise.all(workers);
    for (const { keybearer, id } of clients) expect(await keybearer.profile()).toMatchObject({ id });
    const refreshed = clients.map(({ events }) => events.filter((name) => name === "refreshed").length);
    for (const count of refreshed) expect(count).toBeGreaterThan(0);
  });

  test("an import touches no window, storage, timer or network", async () => {
    expect(await run("importing.ts", "")).toMatch(/^axios .* react .* touched: \[\]$/);
  });
});

describe("C43", () => {
  test.each(["dispose", "nothing"])("a program ends by itself after %s", async (end) => {
    const user = stage.users[0]!;
    expect(await run("program.ts", JSON.stringify({ ...stage, user, end }))).toBe(`200 200 ${end}`);
  });

  test.each(FLAVOURS)("dispose may be called twice, and lets go of the requests ($name)", async (flavour) => {
    const { keybearer, send, events, notebook } = await signedIn(stage, flavour);
    keybearer.dispose();
    keybearer.dispose();
    if (flavour.name !== "fetch") expect((await send(stage.api + NOTES)).status).toBe(403);
    expect(events).toEqual([]);
    expect(notebook.session.user.id).toBe(stage.users[0]!.id);
  });

  test("many calls under way at the same time set off no warning of Node's", async () => {
    const { keybearer } = await signedIn(stage, FLAVOURS[0]!);
    const warnings: string[] = [];
    const note = ({ name }: Error): void => void warnings.push(name);
    process.on("warning", note);
    await Promise.all(Array.from({ length: 20 }, () => keybearer.profile()));
    await new Promise((resolve) => setImmediate(resolve));
    process.off("warning", note);
    expect(warnings).toEqual([]);
  });
});

describe("C41", () => {
  test("errors are recognised across copies of the package, by code and by name", async () => {
    const { notebook, keybearer } = await signedIn(stage, FLAVOURS[0]!);
    const error = await rejection(keybearer.login("user@example.com", "wrong"));
    expect(notebook).toBeInstanceOf(Notebook);
    vi.resetModules();
    const other = await import("../../src/errors.js");
    expect(error).not.toBeInstanceOf(other.ServiceError);
    expect(other.isKeybearerError(error)).toBe(true);
    expect(other.isKeybearerError(error, "invalid_credentials")).toBe(true);
    expect(other.isKeybearerError(error, "session_expired")).toBe(false);
    for (const none of [undefined, null, "error", {}, new Error("other"), { code: "invalid_credentials" }]) {
      expect(other.isKeybearerError(none)).toBe(false);
    }
  });
});
