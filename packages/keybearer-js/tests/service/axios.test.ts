/** What belongs to axios: both versions that bound what is supported. */
import { Agent } from "node:http";
import type { Readable } from "node:stream";
import type { AxiosInstance, AxiosRequestConfig, CreateAxiosDefaults, InternalAxiosRequestConfig } from "axios";
import { describe, expect, test } from "vitest";
import { AXIOS_VERSIONS, loadAxios, type WithAxios } from "./flavours.js";
import {
  bearer,
  headersBut,
  logIn,
  NOTES,
  Notebook,
  REFRESH,
  refreshes,
  rejection,
  tally,
  UNAUTHORIZED,
  stageOfFile,
} from "./staged.js";

const stage = stageOfFile();

type Client = ReturnType<WithAxios["createKeybearer"]>;

interface Attached {
  readonly axios: WithAxios["axios"];
  readonly keybearer: Client;
  readonly instance: AxiosInstance;
  readonly notebook: Notebook;
}

describe.each(AXIOS_VERSIONS)("%s", (version) => {
  /** A client with a user signed in, and an instance with the user's own interceptors before and after ours. */
  async function attached(
    defaults: CreateAxiosDefaults = {},
    around?: (instance: AxiosInstance) => void,
  ): Promise<Attached> {
    const { axios, createKeybearer } = await loadAxios(version);
    const notebook = new Notebook();
    const options = { baseURL: stage.baseURL, apiKey: stage.publishableKey, storage: notebook };
    const keybearer = createKeybearer({ ...options, origins: [stage.api, stage.other] });
    const instance = axios.create(defaults);
    around?.(instance);
    keybearer.attach(instance);
    around?.(instance);
    await logIn(stage, { keybearer });
    await stage.clearJournal();
    return { axios, keybearer, instance, notebook };
  }

  test("it is the version that it says", async () => {
    const { instance, axios } = await attached();
    await instance.get(stage.api + NOTES);
    const [hit] = await stage.journal({ target: "api" });
    expect(hit!.headers["user-agent"]).toBe(`axios/${axios.VERSION}`);
    expect(axios.VERSION === "1.6.0").toBe(version === "axios-oldest");
  });

  test("C4, R8: the retried request is marked by _retry, on the response and on the error", async () => {
    const { instance, notebook } = await attached();
    expect((await instance.get(stage.api + NOTES)).config._retry).toBeUndefined();
    notebook.spoil();
    expect((await instance.get(stage.api + NOTES)).config._retry).toBe(true);
    await stage.inject({ target: "api", action: UNAUTHORIZED });
    const error = await rejection(instance.get(stage.api + NOTES));
    expect(error).toMatchObject({ isAxiosError: true, code: "ERR_BAD_REQUEST", config: { _retry: true } });
    expect(error).toMatchObject({ response: { status: 401, data: UNAUTHORIZED.body } });
  });

  test("R10: a config that is marked by _retry is not retried again", async () => {
    const { instance, notebook } = await attached();
    notebook.spoil();
    const error = await rejection(instance.get(stage.api + NOTES, { _retry: true }));
    expect(error).toMatchObject({ response: { status: 401 } });
    expect(await refreshes(stage)).toEqual([]);
  });

  test("C7: a user's name in the URL, or in auth, is the caller's authorization", async () => {
    const { instance } = await attached();
    const { host } = new URL(stage.api);
    const auth = { username: "jane", password: "x" };
    const sent = [instance.get(`http://jane:x@${host}${NOTES}`), instance.get(stage.api + NOTES, { auth })];
    for (const error of await Promise.all(sent.map(rejection)))
      expect(error).toMatchObject({ response: { status: 401 } });
    const hits = await stage.journal();
    expect(hits.map(({ headers }) => headers.authorization)).toEqual(Array(2).fill(`Basic ${btoa("jane:x")}`));
  });

  test("an answer that is not read, as a retry follows, leaves the connection free", async () => {
    const httpAgent = new Agent({ keepAlive: true, maxSockets: 1 });
    const { instance } = await attached({ httpAgent, responseType: "stream" });
    // More than a socket takes by itself.
    const body = "x".repeat(900_000);
    await stage.inject({ target: "api", times: 1, action: { kind: "answer", status: 401, body } });
    const { status, data } = await instance.get<Readable>(stage.api + NOTES, { signal: AbortSignal.timeout(20_000) });
    expect(status).toBe(200);
    data.destroy();
    httpAgent.destroy();
  });

  test.each<[string, AxiosRequestConfig]>([
    ["always true", { validateStatus: () => true }],
    ["null", { validateStatus: null }],
    ["below 500", { validateStatus: (status) => status < 500 }],
  ])("C6: a 401 is refreshed and retried when validateStatus is %s", async (_what, config) => {
    const { instance, notebook } = await attached(config);
    notebook.spoil();
    expect((await instance.get(stage.api + NOTES)).status).toBe(200);
    expect(await refreshes(stage)).toHaveLength(1);
    await stage.inject({ target: "api", action: UNAUTHORIZED });
    expect((await instance.get(stage.api + NOTES)).status).toBe(401);
  });

  test("C8: the refresh passes no interceptor, and each of the user's sees a request once", async () => {
    const seen: (string | undefined)[] = [];
    const answers: number[] = [];
    const { instance, notebook } = await attached({}, ({ interceptors }) => {
      interceptors.request.use((config) => {
        seen.push(config.url);
        expect(config.headers.has("Authorization")).toBe(false);
        return config;
      });
      interceptors.response.use((response) => {
        answers.push(response.status);
        return response;
      });
    });
    notebook.spoil();
    await instance.get(stage.api + NOTES);
    expect(seen).toEqual([stage.api + NOTES, stage.api + NOTES]);
    expect(answers).toEqual([200, 200]);
    expect(await refreshes(stage)).toHaveLength(1);
  });

  test("C14: all instances that are attached to a client share its refresh", async () => {
    const { axios, keybearer, instance, notebook } = await attached();
    const others = Array.from({ length: 4 }, () => axios.create());
    for (const other of others) keybearer.attach(other);
    notebook.spoil();
    await stage.inject({ target: "api", times: 5, action: { kind: "gate", name: "all" } });
    const sent = [instance, ...others].map((one) => one.get(stage.api + NOTES));
    await stage.waitAtGate("all", 5);
    await stage.openGate("all");
    expect(tally((await Promise.all(sent)).map(({ status }) => status))).toEqual(new Map([[200, 5]]));
    expect(await refreshes(stage)).toHaveLength(1);
  });

  test("C21: transforms run once, on the caller's data; params and baseURL are joined as axios joins them", async () => {
    const { instance } = await attached({ baseURL: `${stage.other}/base/` });
    await stage.inject({ target: "other", times: 1, action: UNAUTHORIZED });
    const data = { list: [1, 2], text: "ü" };
    const transformed: unknown[] = [];
    const transform = (given: unknown): string => {
      transformed.push(given);
      return `<${JSON.stringify(given)}>`;
    };
    await instance.post("/path", data, {
      params: { ids: [1, 2], q: "a b", at: new Date(0) },
      transformRequest: [transform],
      headers: { "Content-Type": "application/x" },
    });
    expect(transformed).toEqual([data]);
    const [first, second, ...more] = await stage.journal({ target: "other" });
    expect(more).toEqual([]);
    expect(first).toMatchObject({ status: 401, path: "/base/path", body: `<${JSON.stringify(data)}>` });
    expect(new URLSearchParams(first!.query).getAll("ids[]")).toEqual(["1", "2"]);
    expect(second).toMatchObject({
      status: 200,
      query: first!.query,
      body: first!.body,
      headers: headersBut(first!, "authorization"),
    });
  });

  test("C24: instances, defaults and configs of the user's stay as they were", async () => {
    const { axios, keybearer, instance, notebook } = await attached();
    const other = axios.create({ headers: { "X-Of": "the user" } });
    const before = { ...other.defaults };
    const adapter = other.defaults.adapter;
    const detach = keybearer.attach(other);
    expect(keybearer.attach(other)).toBe(detach);
    const config = frozen({ headers: { "X-This": "time" }, params: { a: 1 }, data: { text: "once" } });
    notebook.spoil();
    const response = await other.post(stage.other, config.data, config);
    expect(response.config.adapter).toEqual(adapter);
    expect(response.config.headers.has("Authorization")).toBe(false);
    expect(response.config.headers.has("Api-Key")).toBe(false);
    expect({ ...other.defaults }).toEqual(before);
    expect(other.defaults.headers).toBe(before.headers);
    expect(JSON.stringify(other.defaults)).not.toContain(stage.publishableKey);

    detach();
    detach();
    await stage.clearJournal();
    await other.get(stage.other);
    const [bare] = await stage.journal({ target: "other" });
    expect(bare!.headers).toMatchObject({ "x-of": "the user" });
    expect(bare!.headers).not.toHaveProperty("api-key");
    expect((await instance.get(stage.other)).status).toBe(200);
    expect((await stage.journal({ target: "other" }))[1]!.headers).toHaveProperty("api-key");
  });

  test("C24: an adapter of the user's is used for both attempts, and stands on the config again", async () => {
    const { instance, notebook } = await attached();
    notebook.spoil();
    const sent: (string | null)[] = [];
    const adapter = (config: InternalAxiosRequestConfig) => {
      sent.push(String(config.headers.get("Authorization")));
      const status = sent.length === 1 ? 401 : 200;
      return Promise.resolve({ status, statusText: "", data: "{}", headers: {}, config });
    };
    const spoilt = bearer(notebook.session.accessToken);
    const response = await instance.get(stage.api + NOTES, { adapter });
    expect(sent).toEqual([spoilt, bearer(notebook.session.accessToken)]);
    expect(response.config.adapter).toBe(adapter);
  });

  describe("C23: cancellation and timeout reach a request that waits for the refresh, which goes on", () => {
    async function waiting(config: AxiosRequestConfig): Promise<[Promise<unknown>, Attached]> {
      const at = await attached();
      at.notebook.spoil();
      await stage.inject({ target: "auth", path: REFRESH, action: { kind: "gate", name: "refresh" } });
      const first = at.instance.get(`${stage.api}/notes?first`);
      await stage.waitAtGate("refresh");
      const queued = rejection(at.instance.get(`${stage.api}/notes?queued`, config));
      return [
        queued.then(async (error) => {
          // The gate is still closed: nothing but the cancellation can have ended it.
          await stage.openGate("refresh");
          expect((await first).status).toBe(200);
          const hits = await stage.journal({ target: "api" });
          expect(hits.filter(({ query }) => query === "queued")).toEqual([]);
          expect(await refreshes(stage)).toMatchObject([{ status: 200 }]);
          return error;
        }),
        at,
      ];
    }

    test("AbortSignal", async () => {
      const controller = new AbortController();
      const [error] = await waiting({ signal: controller.signal });
      controller.abort();
      expect(await error).toMatchObject({ name: "CanceledError", code: "ERR_CANCELED" });
    });

    test("an AbortSignal that was aborted before", async () => {
      const [error] = await waiting({ signal: AbortSignal.abort() });
      expect(await error).toMatchObject({ name: "CanceledError", code: "ERR_CANCELED" });
    });

    test("CancelToken", async () => {
      const { axios } = await loadAxios(version);
      const { token, cancel } = axios.CancelToken.source();
      const [error, at] = await waiting({ cancelToken: token });
      cancel("enough");
      expect(at.axios.isCancel(await error)).toBe(true);
    });

    test("timeout", async () => {
      const [error] = await waiting({ timeout: 50 });
      expect(await error).toMatchObject({ isAxiosError: true, code: "ECONNABORTED" });
    });
  });

  test("C23: the one that set off the refresh can be cancelled; the others get its tokens", async () => {
    const { instance, notebook } = await attached();
    notebook.spoil();
    await stage.inject({ target: "auth", path: REFRESH, action: { kind: "gate", name: "refresh" } });
    const controller = new AbortController();
    const first = rejection(instance.get(stage.api + NOTES, { signal: controller.signal }));
    await stage.waitAtGate("refresh");
    const second = instance.get(stage.api + NOTES);
    controller.abort();
    expect(await first).toMatchObject({ code: "ERR_CANCELED" });
    await stage.openGate("refresh");
    expect((await second).status).toBe(200);
    expect(await refreshes(stage)).toHaveLength(1);
  });

  test.each([["the request"], ["the retry"]])("C23: %s is cancelled while it is on the wire", async (which) => {
    const { instance, notebook } = await attached();
    if (which === "the retry") await stage.inject({ target: "api", times: 1, action: UNAUTHORIZED });
    else notebook.spoil();
    await stage.inject({ target: "api", action: { kind: "gate_after", name: "wire" } });
    const controller = new AbortController();
    const sent = rejection(instance.get(stage.api + NOTES, { signal: controller.signal }));
    await stage.waitAtGate("wire");
    controller.abort();
    expect(await sent).toMatchObject({ code: "ERR_CANCELED" });
    expect(await stage.journal({ target: "api" })).toHaveLength(which === "the retry" ? 2 : 1);
  });

  test("C23: the time that a request has is for its attempts and its waiting together", async () => {
    const { instance, notebook } = await attached();
    notebook.spoil();
    await stage.inject({ target: "api", times: 1, action: { kind: "delay", ms: 300 } });
    await stage.inject({ target: "api", action: { kind: "hang" } });
    const error = await rejection(instance.get(stage.api + NOTES, { timeout: 1_000 }));
    expect(error).toMatchObject({ isAxiosError: true, code: "ECONNABORTED" });
    expect(await stage.journal({ target: "api" })).toHaveLength(2);
  });
});

function frozen<Value extends object>(value: Value): Value {
  for (const member of Object.values(value)) {
    if (typeof member === "object" && member !== null) frozen(member as object);
  }
  return Object.freeze(value);
}
