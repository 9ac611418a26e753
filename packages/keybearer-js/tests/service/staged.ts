/** What the tests against the real service share: a stage for each file, clients, and what can become of stored tokens. */
import { afterEach, beforeAll } from "vitest";
import type { KeybearerOptions } from "../../src/client.js";
import type { EventName } from "../../src/events.js";
import type { Entry, Session } from "../../src/record.js";
import type { TokenStorage } from "../../src/storage.js";
import { startStage, type JournalEntry, type Stage } from "../support/stage.js";
import type { Flavour, Subject } from "./flavours.js";

export const LOGIN = "/v1/api/oauth/token";
export const REFRESH = "/v1/api/oauth/token/refresh";
export const REVOKE = "/v1/api/oauth/token/revoke";
export const NOTES = "/notes";

/** The stage of this file; without faults and with an empty journal before each test. */
export function stageOfFile(settings: Readonly<Record<string, string>> = {}): Stage {
  const stage = {} as Stage;
  beforeAll(async () => {
    Object.assign(stage, await startStage({ settings }));
    return () => stage.close();
  });
  afterEach(async () => {
    await stage.clearFaults();
    await stage.clearJournal();
  });
  return stage;
}

/** A storage that a test looks into; a "tab" is another client on the same one. */
export class Notebook implements TokenStorage {
  text: string | null = null;

  getItem(): string | null {
    return this.text;
  }

  setItem(_key: string, value: string): void {
    this.text = value;
  }

  removeItem(): void {
    this.text = null;
  }

  get entry(): Entry {
    return JSON.parse(this.text ?? "null") as Entry;
  }

  /** Fails the test when nobody is signed in. */
  get session(): Session {
    const { session } = this.entry;
    if (!session) throw new Error("The notebook holds no session.");
    return session;
  }

  change(members: Partial<Session>): void {
    this.text = JSON.stringify({ ...this.entry, session: { ...this.session, ...members } });
  }

  /** The access token is one that the service and the guard answer 401 to: the signature is another's. */
  spoil(): void {
    const [head, claims, signature = ""] = this.session.accessToken.split(".");
    this.change({ accessToken: [head, claims, signature.split("").reverse().join("")].join(".") });
  }
}

export interface Opened extends Subject {
  readonly notebook: Notebook;
  /** The names of the events so far. */
  readonly events: SessionEvent[];
}

/** Those that come of what happens to a session. */
export type SessionEvent = Exclude<EventName, "ready">;

export const EVENTS: readonly SessionEvent[] = [
  "signedIn",
  "refreshed",
  "signedOut",
  "sessionExpired",
  "refreshUnavailable",
  "retried",
  "storageCorrupted",
  "storageUnavailable",
];

/** A client of the stage's service that may send to all of its targets but `other`. */
export async function open(stage: Stage, flavour: Flavour, options: Partial<KeybearerOptions> = {}): Promise<Opened> {
  const notebook = options.storage instanceof Notebook ? options.storage : new Notebook();
  const subject = await flavour.open({
    baseURL: stage.baseURL,
    apiKey: stage.publishableKey,
    origins: [stage.api],
    storage: notebook,
    ...options,
  });
  const events: SessionEvent[] = [];
  for (const name of EVENTS) subject.keybearer.on(name, () => void events.push(name));
  return { ...subject, notebook, events };
}

/** The same, with a user signed in; the journal and the events begin afterwards. */
export async function signedIn(
  stage: Stage,
  flavour: Flavour,
  options: Partial<KeybearerOptions> = {},
): Promise<Opened> {
  const opened = await open(stage, flavour, options);
  await logIn(stage, opened);
  await stage.clearJournal();
  opened.events.length = 0;
  return opened;
}

export async function logIn(stage: Stage, { keybearer }: Pick<Subject, "keybearer">, user = 0): Promise<void> {
  const { username, password } = stage.users[user]!;
  await keybearer.login(username, password);
}

/** A further publishable key of the stage's application. */
export async function newKey(stage: Stage): Promise<{ readonly id: string; readonly text: string }> {
  const { stdout } = await stage.command("keys", "create", "Stage", "--json");
  const made = JSON.parse(stdout) as { id: string; api_key: string };
  return { id: made.id, text: made.api_key };
}

export function refreshes(stage: Stage): Promise<JournalEntry[]> {
  return stage.journal({ target: "auth", path: REFRESH });
}

export function bearer(accessToken: string): string {
  return `Bearer ${accessToken}`;
}

export function headersBut(hit: JournalEntry, ...names: readonly string[]): object {
  return Object.fromEntries(Object.entries(hit.headers).filter(([name]) => !names.includes(name)));
}

/** How often each value comes. */
export function tally<Value>(values: readonly Value[]): Map<Value, number> {
  const counts = new Map<Value, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

/** What a promise rejected with. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("It did not reject.");
}

/** The error document of a 401 that is about the access token. */
export const UNAUTHORIZED = {
  kind: "answer",
  status: 401,
  body: { errors: [{ status: "401", code: "access_token_expired", title: "Access token expired" }] },
} as const;
