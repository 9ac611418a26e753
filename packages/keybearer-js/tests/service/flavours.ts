/** The ways a program can send requests with this package. One suite runs over all of them. */
import type { AxiosInstance, AxiosRequestConfig, AxiosStatic } from "axios";
import { vi } from "vitest";
import type * as AxiosEntry from "../../src/axios.js";
import type { AxiosKeybearer } from "../../src/axios.js";
import type { Keybearer, KeybearerOptions } from "../../src/client.js";
import { createKeybearer as createFetchKeybearer } from "../../src/fetch.js";

export interface Sent {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
  readonly skipAuth?: boolean;
  readonly skipRefresh?: boolean;
}

export interface Received {
  readonly status: number;
  readonly data: unknown;
}

export type Send = (url: string, request?: Sent) => Promise<Received>;

/** A client, and its requests. What is answered is received, whatever its status. */
export interface Subject {
  readonly keybearer: Keybearer;
  readonly send: Send;
}

export interface Flavour {
  readonly name: string;
  open(options: KeybearerOptions): Promise<Subject>;
}

export type AxiosVersion = "axios" | "axios-oldest";

/** A version of axios, and the package's entry as it works with that version. */
export interface WithAxios {
  readonly axios: AxiosStatic;
  readonly createKeybearer: typeof AxiosEntry.createKeybearer;
}

export const AXIOS_VERSIONS: readonly AxiosVersion[] = ["axios", "axios-oldest"];

const loaded = new Map<AxiosVersion, Promise<WithAxios>>();

export function loadAxios(version: AxiosVersion): Promise<WithAxios> {
  const known = loaded.get(version) ?? load(version);
  loaded.set(version, known);
  return known;
}

/** The entry is loaded anew, with `axios` standing for the version: this is its resolution by another name, no double. */
async function load(version: AxiosVersion): Promise<WithAxios> {
  const module = (await import(version)) as { default: AxiosStatic };
  vi.resetModules();
  vi.doMock("axios", () => module);
  const { createKeybearer } = await import("../../src/axios.js");
  vi.doUnmock("axios");
  return { axios: module.default, createKeybearer };
}

export const FLAVOURS: readonly Flavour[] = [
  axiosFlavour("axios", "axios", {}),
  axiosFlavour("axios 1.6.0", "axios-oldest", {}),
  axiosFlavour("axios with its fetch adapter", "axios", { adapter: "fetch" }),
  { name: "fetch", open: (options) => Promise.resolve(openFetch(options)) },
];

function axiosFlavour(name: string, version: AxiosVersion, defaults: AxiosRequestConfig): Flavour {
  const open = async (options: KeybearerOptions): Promise<Subject> => {
    const { axios, createKeybearer } = await loadAxios(version);
    const keybearer: AxiosKeybearer = createKeybearer(options);
    const instance = axios.create(defaults);
    keybearer.attach(instance);
    return { keybearer, send: sendWith(instance) };
  };
  return { name, open };
}

/** As axios is used: it rejects for a status that is no success, and the response is on the error. */
export function sendWith(instance: AxiosInstance): Send {
  return async (url, { body, ...request } = {}) => {
    try {
      return await instance.request<unknown>({ url, data: body, ...request });
    } catch (error) {
      const { response } = error as { response?: Received };
      if (!response) throw error;
      return response;
    }
  };
}

function openFetch(options: KeybearerOptions): Subject {
  const keybearer = createFetchKeybearer(options);
  const send: Send = async (url, { body, ...request } = {}) => {
    const content = body === undefined ? {} : { body: body as BodyInit, duplex: "half" };
    const response = await keybearer.fetch(url, { ...request, ...content });
    return { status: response.status, data: await contentOf(response) };
  };
  return { keybearer, send };
}

async function contentOf(response: Response): Promise<unknown> {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
