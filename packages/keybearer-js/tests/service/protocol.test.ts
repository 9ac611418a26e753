import { describe, expect, test } from "vitest";
import { FLAVOURS } from "./flavours.js";
import {
  bearer,
  logIn,
  LOGIN,
  newKey,
  NOTES,
  open,
  refreshes,
  rejection,
  REVOKE,
  signedIn,
  UNAUTHORIZED,
  stageOfFile,
} from "./staged.js";

const stage = stageOfFile();

describe.each(FLAVOURS)("$name", (flavour) => {
  test("C1: a request carries the Api-Key, and the bearer token once there is one", async () => {
    const { send, notebook, keybearer } = await open(stage, flavour);
    expect((await send(stage.api + NOTES)).status).toBe(401);
    const { username, password } = stage.users[0]!;
    expect(await keybearer.login(username, password)).toMatchObject({ id: stage.users[0]!.id, email: username });
    expect((await send(stage.api + NOTES)).status).toBe(200);
    const [before, after] = await stage.journal({ target: "api" });
    expect(before!.headers).toMatchObject({ "api-key": stage.publishableKey });
    expect(before!.headers).not.toHaveProperty("authorization");
    expect(after!.headers).toMatchObject({
      "api-key": stage.publishableKey,
      authorization: bearer(notebook.session.accessToken),
    });
  });

  test("C3: a 401 is followed by a refresh and a retry with the new token; the caller sees the 200", async () => {
    const { send, notebook, events } = await signedIn(stage, flavour);
    notebook.spoil();
    const spoilt = notebook.session;
    expect((await send(stage.api + NOTES)).status).toBe(200);
    const hits = await stage.journal({ target: "api" });
    expect(hits.map(({ status }) => status)).toEqual([401, 200]);
    expect(hits[0]!.headers.authorization).toBe(bearer(spoilt.accessToken));
    expect(hits[1]!.headers.authorization).toBe(bearer(notebook.session.accessToken));
    expect(await refreshes(stage)).toMatchObject([{ status: 200 }]);
    expect(notebook.session.refreshToken).not.toBe(spoilt.refreshToken);
    expect(events).toEqual(["refreshed", "retried"]);
  });

  test("C4: a server that always answers 401 costs two hits and one refresh per call, then the 401 is the caller's", async () => {
    const { send, keybearer } = await signedIn(stage, flavour);
    await stage.inject({ target: "api", action: UNAUTHORIZED });
    for (const calls of [1, 2, 3]) {
      expect(await send(stage.api + NOTES)).toMatchObject({ status: 401, data: UNAUTHORIZED.body });
      expect(await stage.journal({ target: "api" })).toHaveLength(2 * calls);
      expect(await refreshes(stage)).toHaveLength(calls);
    }
    expect(keybearer.session.status).toBe("signedIn");
  });

  test("C5, R9: a refused refresh clears the tokens and tells so once, however many requests waited", async () => {
    const { send, keybearer, notebook, events } = await signedIn(stage, flavour);
    await stage.command("sessions", "revoke", notebook.session.id, "--json");
    notebook.spoil();
    const errors = await Promise.all(Array.from({ length: 10 }, () => rejection(send(stage.api + NOTES))));
    for (const error of errors) expect(error).toMatchObject({ code: "session_expired" });
    expect(errors).toContainEqual(expect.objectContaining({ reason: "session_revoked" }));
    expect(await refreshes(stage)).toMatchObject([{ status: 401 }]);
    expect(events).toEqual(["sessionExpired"]);
    expect(notebook.entry).toMatchObject({ session: null, ended: "expired" });
    expect(keybearer.session).toEqual({ status: "signedOut", user: null, sessionId: null });

    await stage.clearJournal();
    expect((await send(stage.api + NOTES)).status).toBe(401);
    const [hit, ...more] = await stage.journal();
    expect(more).toEqual([]);
    expect(hit!.headers).not.toHaveProperty("authorization");
  });

  test("C7: a wrong password sets off no refresh, and the session before it stays", async () => {
    const { keybearer, send, notebook } = await signedIn(stage, flavour);
    const before = notebook.text;
    const error = await rejection(keybearer.login(stage.users[0]!.username, "wrong"));
    expect(error).toMatchObject({ code: "invalid_credentials", status: 401 });
    const body = JSON.stringify({ username: stage.users[0]!.username, password: "wrong" });
    const headers = { "Content-Type": "application/json" };
    expect((await send(stage.auth + LOGIN, { method: "POST", body, headers })).status).toBe(401);
    const hits = await stage.journal();
    expect(hits.map(({ path, status }) => [path, status])).toEqual([
      [LOGIN, 401],
      [LOGIN, 401],
    ]);
    for (const hit of hits) expect(hit.headers).not.toHaveProperty("authorization");
    expect(notebook.text).toBe(before);
  });

  test("C7: an Authorization header of the caller's passes through, and its 401 comes back", async () => {
    const { send } = await signedIn(stage, flavour);
    for (const authorization of ["Bearer of-the-caller", "Basic dTpw"]) {
      expect((await send(stage.api + NOTES, { headers: { authorization } })).status).toBe(401);
    }
    const hits = await stage.journal();
    expect(hits.map(({ headers }) => headers.authorization)).toEqual(["Bearer of-the-caller", "Basic dTpw"]);
    for (const hit of hits) expect(hit.headers["api-key"]).toBe(stage.publishableKey);
  });

  test("C9: skipAuth sends the Api-Key alone; skipRefresh hands the 401 over", async () => {
    const { send, notebook } = await signedIn(stage, flavour);
    expect((await send(stage.api + NOTES, { skipAuth: true })).status).toBe(401);
    notebook.spoil();
    expect((await send(stage.api + NOTES, { skipRefresh: true })).status).toBe(401);
    const hits = await stage.journal();
    expect(hits.map(({ target }) => target)).toEqual(["api", "api"]);
    expect(hits[0]!.headers).not.toHaveProperty("authorization");
    expect(hits[1]!.headers.authorization).toBe(bearer(notebook.session.accessToken));
    for (const hit of hits) expect(hit.headers["api-key"]).toBe(stage.publishableKey);
  });

  test("C11: a revoked Api-Key is an ApiKeyError: no refresh, and the tokens are kept", async () => {
    const key = await newKey(stage);
    const { send, keybearer, notebook, events } = await signedIn(stage, flavour, { apiKey: key.text });
    const { session } = notebook;
    await stage.command("keys", "revoke", key.id, "--json");
    await expect
      .poll(async () => rejection(send(stage.api + NOTES)))
      .toMatchObject({
        code: "api_key_revoked",
        status: 403,
      });
    expect(await refreshes(stage)).toEqual([]);
    await expect.poll(async () => rejection(keybearer.refresh())).toMatchObject({ code: "api_key_revoked" });
    expect(await rejection(keybearer.profile())).toMatchObject({ code: "api_key_revoked", status: 403 });
    expect(notebook.session).toMatchObject({ accessToken: session.accessToken, refreshToken: session.refreshToken });
    expect(keybearer.session.status).toBe("signedIn");
    expect(events).toEqual([]);
  });

  test("C11: any other 403 is the caller's", async () => {
    const { send } = await signedIn(stage, flavour);
    for (const body of [{ errors: [{ status: "403", code: "permission_denied" }] }, "<html>no</html>"]) {
      await stage.inject({ target: "api", times: 1, action: { kind: "answer", status: 403, body } });
      expect(await send(stage.api + NOTES)).toMatchObject({ status: 403, data: body });
    }
    expect(await refreshes(stage)).toEqual([]);
  });

  test("the client's own calls are refreshed and retried like any other", async () => {
    const { keybearer, notebook } = await signedIn(stage, flavour);
    notebook.spoil();
    expect(await keybearer.profile()).toMatchObject({ id: stage.users[0]!.id, email: stage.users[0]!.username });
    expect(await refreshes(stage)).toHaveLength(1);
    expect(await keybearer.inspect()).toMatchObject({ sessionId: notebook.session.id, userId: stage.users[0]!.id });
    const other = await signedIn(stage, flavour);
    await keybearer.endSession(other.notebook.session.id);
    expect(await rejection(other.keybearer.inspect())).toMatchObject({ code: "session_expired" });
    await keybearer.endOtherSessions();
    expect((await keybearer.sessions()).map(({ current }) => current)).toEqual([true]);
  });

  test("R11, C20: logout revokes by the refresh token too, and clears the tokens before the answer", async () => {
    const { keybearer, notebook, events } = await signedIn(stage, flavour);
    const { accessToken, refreshToken } = notebook.session;
    await stage.inject({ target: "auth", path: REVOKE, action: { kind: "gate", name: "logout" } });
    const outcome = keybearer.logout();
    await stage.waitAtGate("logout");
    expect(notebook.entry).toMatchObject({ session: null, ended: "signed_out" });
    expect(keybearer.session.status).toBe("signedOut");
    await stage.openGate("logout");
    expect(await outcome).toBe("revoked");
    expect(await stage.journal()).toMatchObject([
      { path: REVOKE, status: 200, headers: { authorization: bearer(accessToken) } },
    ]);
    expect(JSON.parse((await stage.journal())[0]!.body)).toEqual({ refresh_token: refreshToken });
    expect(events).toEqual(["signedOut"]);
  });

  test("R11: with an expired access token the refresh token still ends the session", async () => {
    const { keybearer, notebook } = await signedIn(stage, flavour);
    const { id } = notebook.session;
    notebook.spoil();
    expect(await keybearer.logout()).toBe("revoked");
    const { stdout } = await stage.command("sessions", "list", "--json");
    expect(stdout).not.toContain(id);
  });

  test("R11: a 401 of the revocation clears the tokens as well", async () => {
    const { keybearer, notebook, events } = await signedIn(stage, flavour);
    await stage.command("sessions", "revoke", notebook.session.id, "--json");
    expect(await keybearer.logout()).toBe("alreadyEnded");
    expect(notebook.entry.session).toBeNull();
    expect(await keybearer.logout()).toBe("alreadyEnded");
    expect(events).toEqual(["signedOut"]);
    expect(await stage.journal()).toMatchObject([{ path: REVOKE, status: 401 }]);
  });

  test("C20: logout clears the tokens though the service is out of reach", async () => {
    const { keybearer, notebook } = await signedIn(stage, flavour);
    await stage.inject({ target: "auth", action: { kind: "drop_before" } });
    expect(await keybearer.logout()).toBe("unreachable");
    expect(notebook.entry).toMatchObject({ session: null, ended: "signed_out" });
    expect(keybearer.session.status).toBe("signedOut");
  });

  test("logout of all devices ends every session of the user", async () => {
    const one = await signedIn(stage, flavour);
    const other = await signedIn(stage, flavour);
    expect(await one.keybearer.logout({ allDevices: true })).toBe("revoked");
    expect(await rejection(other.keybearer.refresh())).toMatchObject({ code: "session_expired" });
    await logIn(stage, one);
    expect((await one.send(stage.api + NOTES)).status).toBe(200);
  });
});
