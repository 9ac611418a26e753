/** What happens to people, and what each row counts. */
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { Action, Fault } from "../../tests/support/stage.js";
import { REFRESH, succeeds, type Scenario, type Scene } from "./measure.js";

/** Settings of the service, in seconds. */
export const LIFETIME = 5;
export const RETRY_WINDOW = 1;

const LOGIN = "/v1/api/oauth/token";
const IN_FLIGHT = 6;

/** Milliseconds: the retry window is over, and so is the pause that a client makes after a failed refresh. */
const WINDOW_IS_OVER = RETRY_WINDOW * 1000 + 1000;

/** A body that arrives in several pieces. */
const TEXT = "All of it, in order. ".repeat(400);

export const SCENARIOS: readonly Scenario[] = [
  {
    name: `${IN_FLIGHT} requests in flight when the token expires`,
    counted:
      "Requests with an expired token that are answered 401 in the same moment: one refresh is enough for all, and nobody has to fail.",
    run: (scene) => together(scene, IN_FLIGHT),
  },
  {
    name: "50 requests in flight when the token expires",
    counted: "The same with more of them.",
    run: (scene) => together(scene, 50),
  },
  {
    name: "a late 401",
    counted:
      "A slow request and a fast one, both with the expired token: when the slow one is answered 401, the fast one has refreshed, and another refresh is one too many.",
    run: lateRefusal,
  },
  {
    name: "the refresh is answered 503 once",
    counted: `${IN_FLIGHT} calls; a 503 without Retry-After, as of a proxy whose service restarts. A second try works.`,
    run: (scene) =>
      togetherWith(scene, { target: "auth", path: REFRESH, times: 1, action: { kind: "answer", status: 503 } }),
  },
  {
    name: "the answer to the refresh is lost once",
    counted: `${IN_FLIGHT} calls; the service has moved the refresh token on, and the connection breaks before its answer arrives.`,
    run: (scene) => togetherWith(scene, { target: "auth", path: REFRESH, times: 1, action: { kind: "drop_after" } }),
  },
  {
    name: "answers to refreshes are lost for longer than the retry window",
    counted: `${IN_FLIGHT} calls while every answer is lost, and one ${WINDOW_IS_OVER / 1000} s later, when the service takes the old refresh token for a stolen one, unless the Idempotency-Key of the first try is with it.`,
    async run(scene) {
      const during = await togetherWith(scene, { target: "auth", path: REFRESH, action: { kind: "drop_after" } });
      await scene.stage.clearFaults();
      await sleep(WINDOW_IS_OVER);
      return [...during, await note(scene)];
    },
  },
  {
    name: "the session was revoked",
    counted: `${IN_FLIGHT} calls; the refresh is answered 401. All have to fail, and the session is lost, with one refresh.`,
    async run(scene) {
      await revoke(scene);
      return together(scene, IN_FLIGHT);
    },
  },
  {
    name: "a server that always answers 401",
    counted: "One call: it has to fail after one refresh and two hits, and the session stays.",
    run: (scene) => noteWith(scene, { kind: "answer", status: 401 }),
  },
  {
    name: "POST of JSON",
    counted: "One call with an expired token; it counts as succeeded when the last hit has the whole body.",
    run: (scene) => post(scene, "/notes", () => ({ text: TEXT })),
  },
  {
    name: "POST of FormData with a file",
    counted: "The same; the stage plays a resource that answers 401 once, and 201 to anything after.",
    run: (scene) => postTwice(scene, () => form()),
  },
  {
    name: "POST of a Node stream",
    counted: "As for JSON; a stream can be read only once, so that it had better not go out with a token that is over.",
    run: (scene) => post(scene, "/notes", () => stream(), "application/json"),
  },
  {
    name: "POST of a Node stream, refused before the token's end",
    counted:
      "The resource is the one that FormData has. A retry has nothing left to send, so that the call has to fail; an empty body that is answered 201 is a failure too, and a hit more.",
    isFresh: true,
    run: (scene) => postTwice(scene, () => stream()),
  },
  {
    name: "a redirect to another origin",
    counted:
      "One call, which axios takes to the other origin by itself; it drops the token there, and the Api-Key only when told.",
    run: (scene) => noteWith(scene, { kind: "redirect", location: `${scene.stage.other}/elsewhere` }),
  },
  {
    name: "a request to another origin by its absolute URL",
    counted: "One call through the same instance.",
    run: async ({ client, stage }) => [await succeeds(client.http.get(`${stage.other}/elsewhere`))],
  },
  {
    name: "two tabs whose token expires together, one refresh late",
    counted: `One call each; the second refresh arrives ${WINDOW_IS_OVER / 1000} s after the first, when the retry window is over. In Node nothing locks across tabs; in a browser keybearer does, and refreshes once.`,
    clients: 2,
    run: twoTabs,
  },
  {
    name: "a wrong password at login",
    counted:
      "One login through the same instance while tokens are stored. Hits are logins: one more is another wrong password.",
    hits: { target: "auth", path: LOGIN },
    run: (scene) => wrongPassword(scene, {}),
  },
  {
    name: "a wrong password at login, the call marked to be skipped",
    counted: "The same with `skipAuthRefresh` and `skipRefresh` on the call.",
    hits: { target: "auth", path: LOGIN },
    run: (scene) => wrongPassword(scene, { skipAuthRefresh: true, skipRefresh: true }),
  },
  {
    name: "a stored access token with a line break in it",
    counted:
      "One call with an expired token that has lost a character to a line break. By R4 it is corrupted: keybearer removes the record, and the person logs in again. Elsewhere axios drops the line break and sends what is left, and a refresh follows the 401.",
    async run(scene) {
      scene.storage.damage();
      return [await note(scene)];
    },
  },
];

function note({ client, stage }: Scene): Promise<boolean> {
  return succeeds(client.http.get(`${stage.api}/notes`));
}

async function noteWith(scene: Scene, action: Action): Promise<boolean[]> {
  await scene.stage.inject({ target: "api", action });
  return [await note(scene)];
}

/** Calls whose first answers leave in the same moment, so that no refresh is over before the last of them has arrived. */
async function together(scene: Scene, count: number): Promise<boolean[]> {
  const { stage } = scene;
  await stage.inject({ target: "api", times: count, action: { kind: "gate_after", name: "together" } });
  const calls = Array.from({ length: count }, () => note(scene));
  await stage.waitAtGate("together", count);
  await stage.openGate("together");
  return Promise.all(calls);
}

async function togetherWith(scene: Scene, fault: Fault): Promise<boolean[]> {
  await scene.stage.inject(fault);
  return together(scene, IN_FLIGHT);
}

async function lateRefusal(scene: Scene): Promise<boolean[]> {
  const { stage } = scene;
  await stage.inject({ target: "api", times: 1, action: { kind: "gate", name: "late" } });
  const late = note(scene);
  await stage.waitAtGate("late");
  const prompt = await note(scene);
  await stage.openGate("late");
  return [prompt, await late];
}

async function revoke({ stage, storage }: Scene): Promise<void> {
  const { status } = await fetch(`${stage.baseURL}/oauth/token/revoke`, {
    method: "POST",
    headers: { "Api-Key": stage.publishableKey, "Content-Type": "application/json" },
    body: JSON.stringify({ refresh_token: storage.refreshToken }),
  });
  if (status !== 200) throw new Error(`The service answered ${status} instead of revoking.`);
}

async function post(scene: Scene, path: string, body: () => unknown, contentType?: string): Promise<boolean[]> {
  const { client, stage } = scene;
  const headers = contentType === undefined ? {} : { "Content-Type": contentType };
  const isAnswered = await succeeds(client.http.post(stage.api + path, body(), { headers }));
  const last = (await stage.journal({ target: "api" })).at(-1);
  return [isAnswered && last?.body.includes(TEXT) === true];
}

async function postTwice(scene: Scene, body: () => unknown): Promise<boolean[]> {
  const path = "/uploads";
  await scene.stage.inject({ target: "api", path, times: 1, action: { kind: "answer", status: 401 } });
  await scene.stage.inject({ target: "api", path, action: { kind: "answer", status: 201 } });
  return post(scene, path, body);
}

function form(): FormData {
  const data = new FormData();
  data.append("file", new Blob([TEXT], { type: "text/plain" }), "note.txt");
  return data;
}

function stream(): Readable {
  return Readable.from([Buffer.from(JSON.stringify({ text: TEXT }))]);
}

async function twoTabs({ clients, stage }: Scene): Promise<boolean[]> {
  for (const ms of [0, WINDOW_IS_OVER]) {
    await stage.inject({ target: "auth", path: REFRESH, times: 1, action: { kind: "delay", ms } });
  }
  return Promise.all(clients.map(({ http }) => succeeds(http.get(`${stage.api}/notes`))));
}

async function wrongPassword({ client, stage, user }: Scene, config: object): Promise<boolean[]> {
  const body = { username: user.username, password: "not the password" };
  return [await succeeds(client.http.post(`${stage.baseURL}/oauth/token`, body, config))];
}
