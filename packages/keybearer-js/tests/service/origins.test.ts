/** Where credentials go, and where they never do (C37). */
import { afterEach, beforeEach, describe, expect, test, vi, type MockInstance } from "vitest";
import { AXIOS_VERSIONS, FLAVOURS, loadAxios, type Flavour } from "./flavours.js";
import {
  bearer,
  NOTES,
  open,
  REFRESH,
  refreshes,
  rejection,
  signedIn,
  stageOfFile,
  type Notebook,
  type Opened,
} from "./staged.js";

const stage = stageOfFile();
const REDIRECTS = [301, 302, 303, 307, 308];

let warn: MockInstance;
let session: Notebook | undefined;

beforeEach(() => {
  warn = vi.spyOn(console, "warn").mockReturnValue(undefined);
});

afterEach(() => {
  warn.mockRestore();
});

/** What reached the origin that belongs to nobody, after it is certain that no credential did. */
async function bareHits(): Promise<string[]> {
  const hits = await stage.journal({ target: "other" });
  for (const { headers } of hits) {
    expect(headers).not.toHaveProperty("api-key");
    // A user name in a URL is the caller's, and goes where the caller sends it.
    expect(headers.authorization ?? "").not.toMatch(/^Bearer/);
    expect(JSON.stringify(headers)).not.toContain(stage.publishableKey);
  }
  return hits.map(({ method, path }) => `${method} ${path}`);
}

/** A client of the session that the first one has begun: a login takes its time. */
async function again(flavour: Flavour): Promise<Opened> {
  session ??= (await signedIn(stage, FLAVOURS[0]!)).notebook;
  await stage.clearJournal();
  return open(stage, flavour, { storage: session });
}

describe.each(FLAVOURS)("$name", (flavour) => {
  /** The fetch adapter of axios on Node can only refuse redirects. */
  const refusesRedirects = flavour.name.includes("fetch adapter");

  test("C37: a request to an origin that is not named goes out bare, with one warning", async () => {
    const { send } = await again(flavour);
    for (const path of ["/first", "/second"]) expect((await send(stage.other + path)).status).toBe(200);
    expect(await bareHits()).toEqual(["GET /first", "GET /second"]);
    expect(warn).toHaveBeenCalledTimes(1);
    expect(String(warn.mock.calls[0])).toContain(stage.other);
  });

  test("C37: no warning in a production build", async () => {
    vi.stubEnv("NODE_ENV", "production");
    const { send } = await again(flavour);
    await send(stage.other);
    vi.unstubAllEnvs();
    expect(await bareHits()).toEqual(["GET /"]);
    expect(warn).not.toHaveBeenCalled();
  });

  test("C37: a 401 of another origin sets off no refresh", async () => {
    const { send } = await again(flavour);
    await stage.inject({ target: "other", action: { kind: "answer", status: 401 } });
    expect((await send(stage.other)).status).toBe(401);
    expect(await refreshes(stage)).toEqual([]);
    expect(await bareHits()).toHaveLength(1);
  });

  test.each(REDIRECTS)("C37: a %s to another origin carries neither header", async (status) => {
    const { send } = await again(flavour);
    await stage.inject({ target: "api", action: { kind: "redirect", status, location: `${stage.other}/there` } });
    const headers = { "Content-Type": "text/plain" };
    for (const request of [{ method: "GET" }, { method: "POST", body: "of the caller", headers }]) {
      const sent = send(stage.api + NOTES, request);
      if (refusesRedirects) await rejection(sent);
      else expect((await sent).status).toBe(200);
    }
    const kept = status > 303 ? "POST" : "GET";
    expect(await bareHits()).toEqual(refusesRedirects ? [] : ["GET /there", `${kept} /there`]);
    const bodies = (await stage.journal({ target: "other", method: "POST" })).map(({ body }) => body);
    expect(bodies).toEqual(refusesRedirects || kept === "GET" ? [] : ["of the caller"]);
  });

  test("C37: a redirect within the origin carries both, and one back from elsewhere neither", async () => {
    if (refusesRedirects) return;
    const { send, notebook } = await again(flavour);
    await stage.inject({ target: "api", path: "/within", action: { kind: "redirect", location: NOTES } });
    expect((await send(`${stage.api}/within`)).status).toBe(200);
    const within = (await stage.journal({ target: "api" })).at(-1)!;
    expect(within).toMatchObject({ path: NOTES, status: 200 });
    expect(within.headers.authorization).toBe(bearer(notebook.session.accessToken));

    await stage.inject({ target: "api", path: "/away", action: { kind: "redirect", location: stage.other } });
    await stage.inject({ target: "other", action: { kind: "redirect", location: stage.api + NOTES } });
    expect(await rejection(send(`${stage.api}/away`))).toMatchObject({ code: "api_key_missing" });
    const back = (await stage.journal({ target: "api" })).at(-1)!;
    expect(back).toMatchObject({ path: NOTES, status: 403 });
    expect(back.headers).not.toHaveProperty("authorization");
    expect(await bareHits()).toEqual(["GET /"]);
  });

  test("an endless redirect ends with an error of the transport's, and no refresh", async () => {
    const { send, keybearer } = await again(flavour);
    await stage.inject({ target: "api", action: { kind: "redirect", status: 302, location: NOTES } });
    await rejection(send(stage.api + NOTES));
    expect((await stage.journal({ target: "api" })).length).toBeLessThan(30);
    expect(await refreshes(stage)).toEqual([]);
    expect(keybearer.session.status).toBe("signedIn");
  });

  test("C37: a redirect of the service's own is not followed: the Api-Key goes nowhere else", async () => {
    const { keybearer, notebook } = await again(flavour);
    for (const status of REDIRECTS) {
      await stage.inject({ target: "auth", action: { kind: "redirect", status, location: stage.other + REFRESH } });
      expect(await rejection(keybearer.profile())).toMatchObject({ code: "service_unavailable" });
      expect(await rejection(keybearer.login("user@example.com", "x"))).toMatchObject({ code: "service_unavailable" });
      await stage.clearFaults();
    }
    await stage.inject({ target: "auth", action: { kind: "redirect", status: 307, location: stage.other + REFRESH } });
    expect(await rejection(keybearer.refresh())).toMatchObject({ code: "refresh_unavailable" });
    expect(await bareHits()).toEqual([]);
    expect(notebook.entry.session).not.toBeNull();
  });

  /** URLs that lead to `other`, or nowhere, though they look as if they led to `api`. */
  const tricks: readonly [what: string, url: () => string][] = [
    ["an absolute URL", () => `${stage.other}/x`],
    ["a scheme in capitals", () => stage.other.replace("http", "HTTP")],
    ["blanks around it", () => ` ${stage.other}/x `],
    ["a tab and a line break in it", () => stage.other.replace("127", "1\t2\n7")],
    ["backslashes", () => stage.other.replace("//", "\\\\")],
    ["one slash too few", () => stage.other.replace("//", "/")],
    ["one slash too many", () => stage.other.replace("//", "///")],
    ["no slash", () => stage.other.replace("//", "")],
    ["no scheme", () => stage.other.replace("http:", "")],
    ["no scheme and backslashes", () => stage.other.replace("http://", "\\\\")],
    ["the allowed host as a user", () => stage.other.replace("//", `//${new URL(stage.api).host}@`)],
    ["the allowed host before a backslash", () => `${stage.other}\\@${new URL(stage.api).host}/`],
    ["the allowed host after a question mark", () => `${stage.other}?@${new URL(stage.api).host}/`],
    ["the allowed host after a hash", () => `${stage.other}#@${new URL(stage.api).host}/`],
    ["a host in digits", () => stage.other.replace("127.0.0.1", "2130706433")],
    ["a host in full-width digits", () => stage.other.replace("127.0.0.1", "１２７.0.0.1")],
    ["a path that begins with two slashes", () => `${stage.api}//${new URL(stage.other).host}/x`],
    ["another scheme", () => stage.other.replace("http:", "ws:")],
    ["data in it", () => "data:application/json,{}"],
  ];

  test.each(tricks)("C37: %s gives nothing away", async (_what, url) => {
    const { send } = await again(flavour);
    await send(url()).catch(() => undefined);
    await bareHits();
    const { host } = new URL(stage.api);
    for (const hit of await stage.journal()) {
      if (hit.headers.authorization?.startsWith("Bearer")) expect(hit.headers.host).toBe(host);
    }
    expect(await refreshes(stage)).toEqual([]);
  });
});

describe.each(AXIOS_VERSIONS)("%s", (version) => {
  async function attached(config: object) {
    const { axios, createKeybearer } = await loadAxios(version);
    const { notebook } = await again(FLAVOURS[0]!);
    const options = { baseURL: stage.baseURL, apiKey: stage.publishableKey, storage: notebook };
    const keybearer = createKeybearer({ ...options, origins: [stage.api] });
    const instance = axios.create(config);
    keybearer.attach(instance);
    return { instance, notebook };
  }

  test.each([
    ["an absolute URL over a baseURL", () => [stage.api, `${stage.other}/x`]],
    ["a URL without a scheme over a baseURL", () => [stage.api, stage.other.replace("http:", "")]],
    ["backslashes over a baseURL", () => [stage.api, stage.other.replace("http://", "\\\\")]],
    ["a baseURL with blanks", () => [` ${stage.other} `, "/x"]],
    ["a baseURL with backslashes", () => [stage.other.replace("//", "\\\\"), "/x"]],
    ["a baseURL that goes on in the URL", () => [stage.api.replace(/\d$/, ""), `@${new URL(stage.other).host}/x`]],
    ["a baseURL that ends within the host", () => ["http://127.0.0.1:", `${new URL(stage.other).port}/x`]],
    [
      "a baseURL with the allowed host as its user",
      () => [stage.other.replace("//", `//${new URL(stage.api).host}@`), ""],
    ],
  ])("C37: %s gives nothing away", async (_what, make) => {
    const [baseURL, url] = make();
    const { instance } = await attached({ baseURL });
    await instance.get(url!).catch(() => undefined);
    await bareHits();
    expect(await refreshes(stage)).toEqual([]);
  });

  test("C37: an interceptor of the user's that changes the URL, before or after ours, changes where they go", async () => {
    const { instance } = await attached({});
    instance.interceptors.request.use((config) => ({ ...config, url: stage.other }));
    await instance.get(stage.api + NOTES);
    expect(await bareHits()).toEqual(["GET /"]);
  });

  test("C37: the user's own beforeRedirect is called, and sees no credential when it leads elsewhere", async () => {
    const { instance } = await attached({});
    const seen: unknown[] = [];
    await stage.inject({ target: "api", action: { kind: "redirect", location: stage.other } });
    await instance.get(stage.api + NOTES, { beforeRedirect: (options) => seen.push({ ...options.headers }) });
    expect(seen).toHaveLength(1);
    expect(JSON.stringify(seen)).not.toMatch(/api-key|authorization/i);
    expect(await bareHits()).toEqual(["GET /"]);
  });

  test("a redirect that the caller does not follow is the caller's", async () => {
    const { instance } = await attached({ maxRedirects: 0, validateStatus: null });
    await stage.inject({ target: "api", action: { kind: "redirect", status: 302, location: stage.other } });
    expect((await instance.get(stage.api + NOTES)).status).toBe(302);
    expect(await bareHits()).toEqual([]);
  });
});

test("C37: the fetch adapter of axios refuses redirects on Node, however it is chosen", async () => {
  const { axios, createKeybearer } = await loadAxios("axios");
  const { notebook } = await again(FLAVOURS[0]!);
  const options = { baseURL: stage.baseURL, apiKey: stage.publishableKey, storage: notebook };
  const keybearer = createKeybearer({ ...options, origins: [stage.api] });
  await stage.inject({ target: "api", action: { kind: "redirect", location: stage.other } });
  for (const adapter of ["fetch", ["fetch"], ["xhr", "fetch", "http"], axios.getAdapter("fetch")]) {
    const instance = axios.create({ adapter: adapter as "fetch" });
    keybearer.attach(instance);
    await rejection(instance.get(stage.api + NOTES));
  }
  expect(await bareHits()).toEqual([]);
});

describe("fetch", () => {
  test("C37: a Request, and the caller's choice of redirect, are treated alike", async () => {
    const { createKeybearer } = await import("../../src/fetch.js");
    const { notebook } = await again(FLAVOURS[0]!);
    const options = { baseURL: stage.baseURL, apiKey: stage.publishableKey, storage: notebook };
    const keybearer = createKeybearer({ ...options, origins: [stage.api] });
    await stage.inject({ target: "api", action: { kind: "redirect", status: 307, location: stage.other } });
    const request = (): Request => new Request(stage.api + NOTES, { method: "POST", body: "of the caller" });
    expect((await keybearer.fetch(request())).status).toBe(200);
    expect(await bareHits()).toEqual(["POST /"]);
    expect((await stage.journal({ target: "other" }))[0]!.body).toBe("of the caller");
    expect((await keybearer.fetch(request(), { redirect: "manual" })).status).toBe(307);
    await rejection(keybearer.fetch(request(), { redirect: "error" }));
    expect(await bareHits()).toHaveLength(1);
  });

  test("a URL that is none rejects, and does not throw", async () => {
    const { send } = await open(stage, FLAVOURS[3]!);
    const sent = [() => send("//other"), () => send("http://")].map(async (call) => rejection(call()));
    for (const error of await Promise.all(sent)) expect(error).toBeInstanceOf(TypeError);
  });
});
