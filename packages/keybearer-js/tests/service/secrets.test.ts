/** No token, key or password in an error, a log or a text made of a client (C36). */
import type { ClientRequest } from "node:http";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Stage } from "../support/stage.js";
import { AXIOS_VERSIONS, FLAVOURS, loadAxios, type Flavour } from "./flavours.js";
import {
  headersBut,
  NOTES,
  open,
  REFRESH,
  rejection,
  signedIn,
  UNAUTHORIZED,
  stageOfFile,
  type Opened,
} from "./staged.js";

const stage = stageOfFile();
const PASSWORD = "the-password-that-nobody-may-see";

const written: string[] = [];

beforeEach(() => {
  written.length = 0;
  for (const stream of [process.stdout, process.stderr]) {
    vi.spyOn(stream, "write").mockImplementation((chunk) => {
      written.push(String(chunk));
      return true;
    });
  }
  for (const level of ["log", "info", "warn", "error", "debug"] as const) {
    vi.spyOn(console, level).mockImplementation((...values) => void written.push(inspect(values, { depth: 10 })));
  }
});

afterEach(() => {
  vi.restoreAllMocks();
});

/** Every text that a program or a person makes of a value to look at it. */
function texts(value: unknown): string[] {
  const { stack, message, cause } = value as Partial<Error>;
  const json = (value as { toJSON?: () => unknown }).toJSON?.();
  return [
    inspect(value, { depth: 10 }),
    jsonOf(value),
    jsonOf(json),
    String(value),
    `${stack}`,
    `${message}`,
    inspect(cause, { depth: 10 }),
  ];
}

/** Empty for what JSON cannot say. */
function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value ?? null);
  } catch {
    return "";
  }
}

/** Each occasion rejects, or answers with what a program might log. */
const occasions: readonly [what: string, make: (opened: Opened, stage: Stage) => Promise<unknown>][] = [
  ["a wrong password", ({ keybearer }) => rejection(keybearer.login("user@example.com", PASSWORD))],
  [
    "a login without an answer",
    async ({ keybearer }) => {
      await stage.inject({ target: "auth", action: { kind: "drop_before" } });
      return rejection(keybearer.login("user@example.com", PASSWORD));
    },
  ],
  [
    "a refresh that is refused",
    async ({ send, notebook }) => {
      await stage.inject({ target: "auth", path: REFRESH, action: UNAUTHORIZED });
      notebook.spoil();
      return rejection(send(stage.api + NOTES));
    },
  ],
  [
    "a refresh without an answer",
    async ({ send, notebook }) => {
      await stage.inject({ target: "auth", path: REFRESH, action: { kind: "drop_after" } });
      notebook.spoil();
      return rejection(send(stage.api + NOTES));
    },
  ],
  [
    "a refresh that is answered with what was sent",
    async ({ keybearer, notebook }) => {
      const { refreshToken } = notebook.session;
      const body = { errors: [{ code: refreshToken, title: refreshToken, detail: refreshToken }] };
      await stage.inject({ target: "auth", path: REFRESH, action: { kind: "answer", status: 400, body } });
      return rejection(keybearer.refresh());
    },
  ],
  [
    "an Api-Key that is refused",
    async ({ send }) => {
      const body = { errors: [{ code: "api_key_revoked" }] };
      await stage.inject({ target: "api", action: { kind: "answer", status: 403, body } });
      return rejection(send(stage.api + NOTES));
    },
  ],
  ...(["drop_before", "drop_after", "truncate"] as const).map(
    (kind): [string, (opened: Opened) => Promise<unknown>] => [
      `a request that meets ${kind}`,
      async ({ send }) => {
        await stage.inject({ target: "api", action: { kind } });
        return send(stage.api + NOTES).catch((error: unknown) => error);
      },
    ],
  ),
  ["a request that nobody takes", ({ send }) => rejection(send("http://127.0.0.1:1/notes"))],
  [
    "a request that is cancelled",
    async ({ send }) => {
      await stage.inject({ target: "api", action: { kind: "gate", name: "held" } });
      const controller = new AbortController();
      const sent = rejection(send(stage.api + NOTES, { signal: controller.signal }));
      await stage.waitAtGate("held");
      controller.abort();
      return sent;
    },
  ],
  [
    "an endless redirect",
    async ({ send }) => {
      await stage.inject({ target: "api", action: { kind: "redirect", location: NOTES } });
      return rejection(send(stage.api + NOTES));
    },
  ],
  ["a request that succeeds", ({ send }) => send(stage.api + NOTES)],
  ["a request to elsewhere", ({ send }) => send(stage.other)],
  [
    "a stored token that is malformed",
    async ({ send, notebook }) => {
      notebook.change({ accessToken: `${notebook.session.accessToken}\n` });
      return send(stage.api + NOTES);
    },
  ],
  [
    "a listener that throws",
    async ({ keybearer }) => {
      keybearer.on("refreshed", (event) => {
        throw new Error(JSON.stringify(event));
      });
      return keybearer.refresh();
    },
  ],
  ["the client itself", ({ keybearer }) => Promise.resolve(keybearer)],
  ["the state of the session", ({ keybearer }) => Promise.resolve(keybearer.session)],
];

describe.each(FLAVOURS)("$name", (flavour) => {
  test.each(occasions)("C36: %s", async (_what, make) => {
    const { found, shown } = await look(flavour, make);
    expect(found.filter((secret) => shown.some((text) => text.includes(secret)))).toEqual([]);
  });
});

async function look(flavour: Flavour, make: (opened: Opened, stage: Stage) => Promise<unknown>) {
  const events: unknown[] = [];
  const opened = await signedIn(stage, flavour, { onSessionExpired: (event) => events.push(event) });
  const { accessToken, refreshToken } = opened.notebook.session;
  const value = await make(opened, stage);
  const after = opened.notebook.text === null ? undefined : (opened.notebook.entry.session ?? undefined);
  const found = [accessToken, refreshToken, after?.accessToken, after?.refreshToken, after?.idempotencyKey];
  const secrets = [...found, stage.publishableKey, PASSWORD].filter((secret) => secret !== undefined);
  return { found: secrets, shown: [...texts(value), ...events.flatMap(texts), ...written] };
}

test.each(AXIOS_VERSIONS)("C36: %s: a response has its request still at hand", async (version) => {
  const { axios, createKeybearer } = await loadAxios(version);
  const keybearer = createKeybearer({ baseURL: stage.baseURL, apiKey: stage.publishableKey, origins: [stage.other] });
  const instance = axios.create();
  keybearer.attach(instance);
  const response = await instance.get<unknown>(stage.other);
  expect((response.request as ClientRequest).host).toBe("127.0.0.1");
  expect(response.config).not.toHaveProperty("headers.Api-Key");
});

test.each(["", "kbp_\nx", "kbp_x\r\nX-Injected: 1", "kbp x", "kbp_é"])(
  "C36, C2: the Api-Key %j is refused at creation, and not repeated",
  async (apiKey) => {
    const error = await rejection(open(stage, FLAVOURS[0]!, { apiKey }));
    expect(error).toMatchObject({ code: "configuration" });
    if (apiKey) for (const text of texts(error)) expect(text).not.toContain(apiKey);
    expect(await stage.journal()).toEqual([]);
  },
);

test("C36: no URL, and no header but the two and the Idempotency-Key, holds a secret", async () => {
  const { keybearer, send, notebook } = await signedIn(stage, FLAVOURS[0]!);
  const secrets = [notebook.session.accessToken, notebook.session.refreshToken, stage.publishableKey];
  await keybearer.refresh();
  await send(stage.api + NOTES);
  await keybearer.logout({ allDevices: true });
  for (const hit of await stage.journal()) {
    const text = `${hit.path}?${hit.query} ${JSON.stringify(headersBut(hit, "authorization", "api-key"))}`;
    for (const secret of secrets) expect(text).not.toContain(secret);
  }
});
