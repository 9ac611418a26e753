/** The stage: the real service and the real example behind proxies that inject faults (tests/stage of the repository). */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const REPOSITORY = fileURLToPath(new URL("../../../..", import.meta.url));

/** Milliseconds that the stage has to end by itself. */
const PATIENCE = 10_000;

/** Milliseconds for one answer of the stage: a command that it runs is a process of its own on a busy machine. */
const ANSWER = 60_000;

export type Target = "auth" | "api" | "other";

export interface StageUser {
  readonly username: string;
  readonly password: string;
  readonly id: string;
}

/** Addresses are without a slash at the end. */
export interface Description {
  readonly auth: string;
  readonly api: string;
  readonly other: string;
  readonly pages: string;
  readonly pages2: string;
  readonly control: string;
  readonly baseURL: string;
  readonly publishableKey: string;
  readonly secretKey: string;
  readonly otherPublishableKey: string;
  readonly users: readonly StageUser[];
}

export type Action =
  | { readonly kind: "delay"; readonly ms: number }
  | {
      readonly kind: "answer";
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string | object;
      /** False: without the CORS headers that the target would have sent. */
      readonly cors?: boolean;
    }
  | { readonly kind: "redirect"; readonly location: string; readonly status?: number }
  | { readonly kind: "drop_before" | "drop_after" | "truncate" | "strip_cors" | "hang" }
  | { readonly kind: "gate" | "gate_after"; readonly name: string };

/** A fault meets the requests to `target` that have everything that is given here, `times` of them at most. */
export interface Fault {
  readonly target: Target;
  readonly method?: string;
  readonly path?: string;
  readonly pathPrefix?: string;
  readonly times?: number;
  readonly action: Action;
}

export interface JournalEntry {
  /** Seconds of a clock that never steps back. */
  readonly at: number;
  readonly target: Target;
  readonly method: string;
  readonly path: string;
  readonly query: string;
  /** Names are in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly bodySha256: string;
  readonly bodyBytes: number;
  /** What the client was answered; null when nothing was. */
  readonly status: number | null;
  readonly fault: string | null;
}

/** Which entries of the journal are wanted: those that have everything that is given. Preflights only by their method. */
export interface JournalFilter {
  readonly target?: Target;
  readonly method?: string;
  readonly path?: string;
}

export interface CommandEnded {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface StageOptions {
  /** Settings of the service: `KEYBEARER_…`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** A folder that both origins for pages serve. */
  readonly pages?: string;
}

export interface Stage extends Description {
  /** Sets a fault. */
  inject(fault: Fault): Promise<void>;
  /** Removes all faults, and opens all gates. */
  clearFaults(): Promise<void>;
  openGate(name: string): Promise<void>;
  /** Until so many requests wait at the gate. */
  waitAtGate(name: string, count?: number): Promise<void>;
  journal(filter?: JournalFilter): Promise<JournalEntry[]>;
  clearJournal(): Promise<void>;
  newUser(): Promise<StageUser>;
  /** Runs `keybearer` against the service's database. */
  command(...argv: string[]): Promise<CommandEnded>;
  stopService(signal?: "TERM" | "KILL"): Promise<void>;
  startService(): Promise<void>;
  /** Ends everything that the stage has started, and the stage. */
  close(): Promise<void>;
}

export async function startStage(options: StageOptions = {}): Promise<Stage> {
  const child = spawn(".venv/bin/python", ["-m", "tests.stage", ...commandLine(options)], {
    cwd: REPOSITORY,
    stdio: ["pipe", "pipe", "inherit"],
  });
  const description = await readDescription(child);
  return { ...description, ...controls(description.control), close: () => end(child) };
}

function commandLine({ settings = {}, pages }: StageOptions): string[] {
  const argv = Object.entries(settings).flatMap(([name, value]) => ["--setting", `${name}=${value}`]);
  return pages === undefined ? argv : [...argv, "--pages", pages];
}

/** The one line that the stage prints when everything answers. */
async function readDescription(child: ChildProcess): Promise<Description> {
  if (!child.stdout) throw new Error("The stage has no output.");
  for await (const line of createInterface(child.stdout)) return JSON.parse(line) as Description;
  throw new Error("The stage ended before it was ready; what it printed stands above.");
}

/** It ends when its input does. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  const impatience = setTimeout(() => child.kill("SIGKILL"), PATIENCE);
  child.stdin?.end();
  await ended;
  clearTimeout(impatience);
}

function controls(control: string): Omit<Stage, keyof Description | "close"> {
  async function ask(method: string, path: string, body?: object): Promise<unknown> {
    const content = body && { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
    const answer = await fetch(control + path, { method, signal: AbortSignal.timeout(ANSWER), ...content });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`The stage answered ${method} ${path} with ${answer.status}: ${text}`);
    return text === "" ? undefined : JSON.parse(text);
  }
  const tell = async (method: string, path: string, body?: object): Promise<void> => {
    await ask(method, path, body);
  };
  return {
    inject: (fault) => tell("POST", "/faults", fault),
    clearFaults: () => tell("DELETE", "/faults"),
    openGate: (name) => tell("POST", `/gates/${name}/open`),
    async waitAtGate(name, count = 1) {
      while (((await ask("GET", `/gates/${name}`)) as { waiting: number }).waiting < count) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    async journal(filter = {}) {
      const entries = (await ask("GET", "/journal")) as JournalEntry[];
      return entries.filter((entry) => matches(entry, filter));
    },
    clearJournal: () => tell("DELETE", "/journal"),
    newUser: async () => (await ask("POST", "/users", {})) as StageUser,
    command: async (...argv) => (await ask("POST", "/command", { arguments: argv })) as CommandEnded,
    stopService: (signal = "TERM") => tell("POST", "/service/stop", { signal }),
    startService: () => tell("POST", "/service/start", {}),
  };
}

function matches(entry: JournalEntry, { target, method, path }: JournalFilter): boolean {
  return (
    (target === undefined || entry.target === target) &&
    (method === undefined ? entry.method !== "OPTIONS" : entry.method === method) &&
    (path === undefined || entry.path === path)
  );
}
