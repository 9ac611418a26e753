/** The demo, started as `make demo` starts it, on ports that are free. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const REPOSITORY = fileURLToPath(new URL("../../..", import.meta.url));

/** What the demo's last line ends with. */
const READY = "Ctrl-C ends it.";

export interface Demo {
  /** Addresses without a slash at the end. */
  readonly page: string;
  readonly auth: string;
  readonly notes: string;
  readonly pageKey: string;
  readonly username: string;
  readonly password: string;
  /** As Ctrl-C does; resolves when every process has ended. */
  readonly stop: () => Promise<void>;
}

export async function startDemo(): Promise<Demo> {
  const folder = mkdtempSync(join(tmpdir(), "keybearer-demo-"));
  const [auth, notes, page] = await Promise.all([freePort(), freePort(), freePort()]);
  const ports = ["--port", `${auth}`, "--notes-port", `${notes}`, "--page-port", `${page}`];
  const demo = spawn(
    join(REPOSITORY, ".venv", "bin", "keybearer"),
    ["demo", "--data-dir", folder, "--examples", "examples", ...ports],
    { cwd: REPOSITORY, stdio: ["ignore", "pipe", "inherit"] },
  );
  const stop = async (): Promise<void> => {
    await end(demo);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await waitUntilReady(demo);
    const made = JSON.parse(readFileSync(join(folder, "demo.json"), "utf8")) as Record<string, string>;
    const { page_key: pageKey = "", username = "", password = "" } = made;
    return { page: url(page), auth: url(auth), notes: url(notes), pageKey, username, password, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Reads on to the end: whoever writes into a full pipe waits for ever. */
async function waitUntilReady(demo: ChildProcess): Promise<void> {
  if (!demo.stdout) throw new Error("The demo's output is not read.");
  const lines: string[] = [];
  const reader = createInterface(demo.stdout);
  await new Promise<void>((resolve, reject) => {
    reader.on("line", (line) => {
      lines.push(line);
      if (line.includes(READY)) resolve();
    });
    reader.on("close", () => reject(new Error(`The demo has ended:\n${lines.join("\n")}`)));
  });
}

async function end(demo: ChildProcess): Promise<void> {
  if (demo.exitCode !== null || demo.signalCode !== null) return;
  const ended = once(demo, "exit");
  demo.kill("SIGINT");
  await ended;
}

/**
 * A port that the system gives to nobody else for the minute after: a connection that its server has ended leaves it in
 * TIME-WAIT, from where only a server that names the port can have it.
 */
async function freePort(): Promise<number> {
  const server = createServer((connection) => connection.resume().end()).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await once(connect(port, "127.0.0.1").resume(), "close");
  server.close();
  await once(server, "close");
  return port;
}

function url(port: number): string {
  return `http://127.0.0.1:${port}`;
}
