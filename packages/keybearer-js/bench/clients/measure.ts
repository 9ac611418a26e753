/** One scenario, played by one contender. */
import { setTimeout as sleep } from "node:timers/promises";
import type { JournalFilter, Stage, StageUser } from "../../tests/support/stage.js";
import type { Client, Contender } from "./contenders.js";
import { MemoryStorage } from "./storage.js";

export const REFRESH = "/v1/api/oauth/token/refresh";

/** Milliseconds after which a call that has not ended counts as failed. */
const PATIENCE = 20_000;

/** Milliseconds between the two calls that decide whether a session is lost: any pause after a failed refresh is over. */
const RECOVERY = 2_500;

export interface Scenario {
  readonly name: string;
  /** What its row counts: a sentence. */
  readonly counted: string;
  /** How many clients share one storage. Default: 1. */
  readonly clients?: number;
  /** The access token still holds when the scenario begins. Default: it has expired. */
  readonly isFresh?: boolean;
  /** Which requests are its hits. Default: those to the example. */
  readonly hits?: JournalFilter;
  /** Makes the calls, and says of each whether it succeeded. */
  run(scene: Scene): Promise<boolean[]>;
}

export interface Scene {
  readonly stage: Stage;
  readonly user: StageUser;
  readonly storage: MemoryStorage;
  readonly clients: readonly Client[];
  /** The first client. */
  readonly client: Client;
}

export interface Measured {
  readonly succeeded: number;
  readonly failed: number;
  /** That arrived at the service. */
  readonly refreshes: number;
  readonly hits: number;
  /** Requests with a credential that arrived at the origin of nobody. */
  readonly leaked: number;
  /** Clients whose session is of no use any longer, when everything works again. */
  readonly lost: number;
}

/** Signed in. */
export async function prepare(stage: Stage, contender: Contender, scenario: Scenario): Promise<Scene> {
  const storage = new MemoryStorage();
  const clients = Array.from({ length: scenario.clients ?? 1 }, () => contender.open(stage, storage));
  const [client] = clients;
  const [user] = stage.users;
  if (!client || !user) throw new Error("A scenario takes a client and a user.");
  await client.login(user);
  return { stage, user, storage, clients, client };
}

/** Leaves the stage without faults, and the clients closed. */
export async function measure(scenario: Scenario, scene: Scene): Promise<Measured> {
  const { stage, clients, client, user } = scene;
  if (scenario.isFresh) await client.login(user);
  await stage.clearJournal();
  const ended = await scenario.run(scene);
  const counted = await count(scenario, stage);
  await stage.clearFaults();
  const alive = await Promise.all(clients.map(({ http }) => isAlive(() => http.get(`${stage.api}/notes`))));
  for (const each of clients) each.close();
  return {
    succeeded: ended.filter(Boolean).length,
    failed: ended.filter((succeeded) => !succeeded).length,
    ...counted,
    lost: alive.filter((is) => !is).length,
  };
}

async function count({ hits = { target: "api" } }: Scenario, stage: Stage) {
  const refreshes = await stage.journal({ target: "auth", path: REFRESH });
  const elsewhere = await stage.journal({ target: "other" });
  return {
    refreshes: refreshes.length,
    hits: (await stage.journal(hits)).length,
    leaked: elsewhere.filter(({ headers }) => "api-key" in headers || "authorization" in headers).length,
  };
}

async function isAlive(call: () => Promise<unknown>): Promise<boolean> {
  if (await succeeds(call())) return true;
  await sleep(RECOVERY);
  return succeeds(call());
}

export async function succeeds(call: Promise<unknown>): Promise<boolean> {
  const patience = new AbortController();
  const ended = call.then(
    () => true,
    () => false,
  );
  const overdue = sleep(PATIENCE, false, { signal: patience.signal }).catch(() => false);
  const succeeded = await Promise.race([ended, overdue]);
  patience.abort();
  return succeeded;
}
