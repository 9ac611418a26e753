/** A program as a user's, for the tests to drive: its client is made while the page is loaded, as `window.options` say. */
import axios, { isAxiosError, type AxiosInstance } from "axios";
import * as forAxios from "../../src/axios.js";
import * as forFetch from "../../src/fetch.js";

export type Transport = "axios-xhr" | "axios-fetch" | "fetch";

/** Those of the options that can be written down. The build has the service, and the origins unless they are given. */
export interface PageOptions {
  readonly transport?: Transport;
  readonly apiKey?: string;
  readonly lockWait?: number;
  readonly loginPage?: string;
  readonly origins?: readonly string[];
  readonly proactive?: boolean;
  readonly storage?: "local" | "session" | "memory";
  readonly storageKey?: string;
  readonly timeout?: number;
}

export interface Sending {
  readonly method?: string;
  readonly json?: unknown;
  readonly skipRefresh?: boolean;
  /** Milliseconds; of axios only. */
  readonly timeout?: number;
}

/** A refusal of the server's is an answer here, whatever the transport makes of it; `error` is the error's code, or its name. */
export type Outcome = { readonly status: number; readonly body: unknown } | { readonly error: string };

/** An event of the client's; `at` is milliseconds since 1970. */
export interface Told {
  readonly name: forAxios.EventName;
  readonly event: object;
  readonly at: number;
}

interface Program {
  readonly client: forAxios.Keybearer;
  readonly axios: AxiosInstance;
  readonly fetchWithCredentials: forFetch.FetchWithCredentials;
  readonly send: (url: string, sending?: Sending, signal?: AbortSignal) => Promise<Outcome>;
  /** Empty when it went well, else the error's code. */
  readonly refresh: () => Promise<string>;
  readonly told: Told[];
  readonly returnAddress: typeof forAxios.returnAddress;
}

declare global {
  interface Window extends Program {
    options?: PageOptions;
  }
}

const NAMES = [
  "refreshUnavailable",
  "refreshed",
  "retried",
  "signedIn",
  "signedOut",
  "storageCorrupted",
  "storageUnavailable",
] as const satisfies forAxios.EventName[];

const { transport = "axios-xhr", ...others } = window.options ?? {};
const told: Told[] = [];
const tell = (name: forAxios.EventName) => (event: object) => void told.push({ name, event, at: Date.now() });
const handlers = NAMES.map((name) => [`on${name.charAt(0).toUpperCase()}${name.slice(1)}`, tell(name)] as const);
const options = {
  baseURL: process.env.AUTH_BASE_URL ?? "",
  origins: (process.env.ORIGINS ?? "").split(" "),
  ...Object.fromEntries(handlers),
  ...others,
};

const instance = axios.create({ adapter: transport === "axios-fetch" ? "fetch" : "xhr" });
const fetching = transport === "fetch" ? forFetch.createKeybearer(options) : undefined;
const client = fetching ?? attached(forAxios.createKeybearer(options));
// Not as `onSessionExpired`, which would take the place of the way to the login page.
client.on("sessionExpired", tell("sessionExpired"));

function attached(keybearer: forAxios.AxiosKeybearer): forAxios.Keybearer {
  keybearer.attach(instance);
  return keybearer;
}

async function sendByAxios(url: string, { json, ...sending }: Sending, signal?: AbortSignal): Promise<Outcome> {
  const { status, data } = await instance.request<unknown>({ url, data: json, ...sending, ...(signal && { signal }) });
  return { status, body: data };
}

async function sendByFetch(
  url: string,
  { json, method, skipRefresh }: Sending,
  signal?: AbortSignal,
): Promise<Outcome> {
  const content =
    json === undefined ? {} : { body: JSON.stringify(json), headers: { "Content-Type": "application/json" } };
  const init = {
    ...content,
    ...(method && { method }),
    ...(skipRefresh && { skipRefresh }),
    ...(signal && { signal }),
  };
  const response = await fetchWithCredentials(url, init);
  return { status: response.status, body: parsed(await response.text()) };
}

function fetchWithCredentials(...call: Parameters<forFetch.FetchWithCredentials>): Promise<Response> {
  if (!fetching) throw new TypeError("This program sends by axios.");
  return fetching.fetch(...call);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function outcomeOf(error: unknown): Outcome {
  if (isAxiosError(error) && error.response)
    return { status: error.response.status, body: error.response.data as unknown };
  const { code, name } = error as { code?: unknown; name: string };
  return { error: typeof code === "string" ? code : name };
}

export const program: Program = {
  client,
  axios: instance,
  fetchWithCredentials,
  send: (url, sending = {}, signal) => (fetching ? sendByFetch : sendByAxios)(url, sending, signal).catch(outcomeOf),
  refresh: () =>
    client.refresh().then(
      () => "",
      (error: unknown) => (error as forAxios.KeybearerError).code,
    ),
  told,
  returnAddress: forAxios.returnAddress,
};

Object.assign(window, program);
