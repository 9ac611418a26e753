import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { startStage, type Stage } from "./stage.js";

const LOGIN = "/v1/api/oauth/token";

let stage: Stage;

beforeAll(async () => {
  stage = await startStage({ settings: { KEYBEARER_ACCESS_TOKEN_LIFETIME: "600" } });
});

afterEach(async () => {
  await stage.clearFaults();
  await stage.clearJournal();
});

afterAll(async () => {
  await stage.close();
});

function login(): Promise<Response> {
  const { username, password } = stage.users[0] ?? { username: "", password: "" };
  return fetch(`${stage.baseURL}/oauth/token`, {
    method: "POST",
    headers: { "Api-Key": stage.publishableKey, "Content-Type": "application/json" },
    body: JSON.stringify({ username, password }),
  });
}

test("the real service stands behind the proxy, with the settings that were given", async () => {
  const answer = await login();
  expect(answer.status).toBe(200);
  expect(await answer.json()).toMatchObject({ data: { attributes: { expiresIn: 600 } } });
  expect(await stage.journal({ target: "auth", path: LOGIN })).toMatchObject([{ method: "POST", status: 200 }]);
});

test("a fault meets the requests that it names", async () => {
  await stage.inject({ target: "auth", path: LOGIN, times: 1, action: { kind: "answer", status: 503 } });
  expect((await login()).status).toBe(503);
  expect((await login()).status).toBe(200);
});

test("a request waits at a gate until it is opened", async () => {
  await stage.inject({ target: "auth", path: LOGIN, action: { kind: "gate", name: "here" } });
  const answer = login();
  await stage.waitAtGate("here");
  await stage.openGate("here");
  expect((await answer).status).toBe(200);
});

test("the service is stopped and started, and keeps its users", async () => {
  const { id } = await stage.newUser();
  await stage.stopService("KILL");
  await expect(login()).rejects.toThrow();
  await stage.startService();
  expect((await login()).status).toBe(200);
  const { status, stdout } = await stage.command("users", "list", "--json");
  expect(status).toBe(0);
  expect(stdout).toContain(id);
});

test("what the stage refuses is said", async () => {
  await expect(stage.openGate("nowhere")).rejects.toThrow("No fault has named this gate.");
});
