/** `keybearer/axios`: interceptors that put both credentials on, refresh on 401 and retry exactly once (R7). */

import axios, {
  Axios,
  AxiosError,
  CanceledError,
  getAdapter,
  type AxiosAdapter,
  type AxiosInstance,
  type AxiosResponse,
  type InternalAxiosRequestConfig,
} from "axios";
import { createClient, type Keybearer, type KeybearerOptions } from "./client.js";
import type { Exchange, Outgoing } from "./exchange.js";
import { fields, parseJson } from "./record.js";
import { after, baseOfPage, isBrowser } from "./surroundings.js";

export type { Keybearer, KeybearerOptions, OwnSession, Profile, TokenInfo } from "./client.js";
export { returnAddress } from "./login-page.js";
export * from "./public.js";

declare module "axios" {
  interface AxiosRequestConfig {
    /** Sends the Api-Key, and no bearer token. */
    skipAuth?: boolean;
    /** Hands a 401 to the caller as it is. */
    skipRefresh?: boolean;
    /** Set once the request has been retried (R8). */
    _retry?: boolean;
  }
}

export interface AxiosKeybearer extends Keybearer {
  /** Puts the interceptor on an instance of axios; the result takes it off again. Attaching twice is attaching once. */
  attach(instance: AxiosInstance): () => void;
}

export function createKeybearer(options: KeybearerOptions): AxiosKeybearer {
  const { keybearer, exchange, disposers } = createClient(options);
  const attached = new Map<AxiosInstance, () => void>();

  const attach = (instance: AxiosInstance): (() => void) => {
    const known = attached.get(instance);
    if (known) return known;
    const { request } = instance.interceptors;
    const id = request.use((config) => intercept(exchange, config), undefined, { synchronous: true });
    const detach = (): void => {
      request.eject(id);
      if (attached.get(instance) === detach) attached.delete(instance);
    };
    attached.set(instance, detach);
    return detach;
  };

  disposers.add(() => attached.forEach((detach) => detach()));
  return Object.assign(keybearer, { attach });
}

/**
 * The request leaves through an adapter of ours around its own. There it has its final form: every interceptor of the
 * user's and every transform has run, once; the same bytes can go out again; and the credentials are on a copy that no
 * error or log of the caller's ever shows.
 */
function intercept(exchange: Exchange, config: InternalAxiosRequestConfig): InternalAxiosRequestConfig {
  const { adapter } = config;
  config.adapter = (final) => {
    if (adapter === undefined) delete final.adapter;
    else final.adapter = adapter;
    return carry(exchange, final);
  };
  return config;
}

/** A response, and the error that axios makes of it where `validateStatus` says so. */
interface Settled {
  readonly status: number;
  readonly response: AxiosResponse;
  readonly error?: Error;
}

async function carry(exchange: Exchange, config: InternalAxiosRequestConfig): Promise<AxiosResponse> {
  const choice = config.adapter ?? axios.defaults.adapter;
  // Newer versions of axios choose by the config too; the types of none say so.
  const adapter = (getAdapter as (choice: unknown, config: unknown) => AxiosAdapter)(choice, config);
  const { response, error } = await exchange(outgoing(config, adapter));
  if (error !== undefined) throw error;
  return response;
}

function outgoing(config: InternalAxiosRequestConfig, adapter: AxiosAdapter): Outgoing<Settled> {
  const url = urlOf(config);
  const started = performance.now();
  const timeLeft = (): number => Math.max(config.timeout ? config.timeout - (performance.now() - started) : 0, 0);
  return {
    url,
    isBare: isSet(config.headers.get("Authorization")) || [config.skipAuth, config.auth, url.username].some(Boolean),
    isFinal: [config.skipRefresh, config._retry].some(Boolean),
    isReplayable: isReplayable(config.data),
    wait: (work) => waitFor(work, config, timeLeft()),
    async send(credentials) {
      const timeout = config.timeout ? { timeout: Math.max(Math.ceil(timeLeft()), 1) } : {};
      const sent = { ...config, ...timeout, ...pinned(config, url), headers: config.headers.concat(credentials) };
      try {
        return settled(await adapter(sent), config);
      } catch (error) {
        if (!axios.isAxiosError(error)) throw error;
        restored(error, config);
        if (!error.response) throw error;
        return settled(error.response, config, error);
      }
    },
    documentOf: ({ response }) => documentOf(response.data),
    markRetried({ response }) {
      config._retry = true;
      discard(response.data);
    },
  };
}

function settled(response: AxiosResponse, config: InternalAxiosRequestConfig, error?: Error): Settled {
  return { status: response.status, response: restored(response, config), ...(error && { error }) };
}

/** A header that is there, or that the caller has switched off. */
function isSet(value: unknown): boolean {
  return value === false || Boolean(value);
}

/** Lets go of the connection of a body that nobody reads. */
function discard(data: unknown): void {
  const body = fields(data) as { destroy?: () => void; cancel?: () => Promise<void> };
  if (body.destroy) body.destroy();
  else void body.cancel?.();
}

// Without defaults of its own, so that it joins exactly what it is given, by the rules of this version of axios.
const joiner = new Axios({});

function urlOf({ baseURL, url, allowAbsoluteUrls }: InternalAxiosRequestConfig & { allowAbsoluteUrls?: boolean }): URL {
  return new URL(joiner.getUri({ baseURL, url, allowAbsoluteUrls } as InternalAxiosRequestConfig), baseOfPage());
}

/**
 * On Node: neither credential follows a redirect to another origin. (A browser follows redirects by itself, and asks
 * the other origin first whether it takes an Api-Key.)
 */
function pinned(config: InternalAxiosRequestConfig, { origin }: URL): object {
  const own = config.beforeRedirect;
  const beforeRedirect: typeof own = (options, ...details) => {
    if (new URL(String(options.href)).origin !== origin) {
      const others = Object.entries(options.headers as object).filter(
        ([name]) => !/^(api-key|authorization)$/i.test(name),
      );
      options.headers = Object.fromEntries(others);
    }
    own?.(options, ...details);
  };
  if (isBrowser()) return { beforeRedirect };
  // For the fetch adapter, however it was chosen: on Node it cannot be told what to do on a redirect but to refuse it.
  return { beforeRedirect, fetchOptions: { ...fields(fields(config).fetchOptions), redirect: "error" } };
}

/**
 * The caller's own config on a response or an error: that of the adapter has the credentials in it. The request has them
 * in its text, and is no longer enumerated.
 */
function restored<Holder extends AxiosResponse | AxiosError>(
  holder: Holder,
  config: InternalAxiosRequestConfig,
): Holder {
  holder.config = config;
  return Object.defineProperty(holder, "request", { enumerable: false, writable: true, configurable: true });
}

interface Subscribable {
  subscribe(listener: (reason: unknown) => void): void;
  unsubscribe(listener: (reason: unknown) => void): void;
}

/** Settles as `work` does, unless the request is cancelled or its time is over; `work` itself goes on. */
function waitFor<T>(work: Promise<T>, config: InternalAxiosRequestConfig, timeLeft: number): Promise<T> {
  const { signal, timeout } = config;
  // The types of axios do not show that a token can be listened to and left.
  const cancelling = config.cancelToken as Subscribable | undefined;
  return new Promise<T>((resolve, reject) => {
    const cancel = (reason: unknown): void => {
      // (The types of axios have its parameters in another order than the code of every version.)
      const error = new (CanceledError as unknown as new (message: undefined, config: unknown) => Error)(
        undefined,
        config,
      );
      reject(axios.isCancel(reason) ? reason : error);
    };
    const giveUp = (): void => {
      const message = config.timeoutErrorMessage ?? `timeout of ${timeout}ms exceeded`;
      reject(new AxiosError(message, AxiosError.ECONNABORTED, config));
    };
    const timer = timeout ? after(timeLeft, giveUp) : undefined;
    const stop = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener?.("abort", cancel);
      cancelling?.unsubscribe(cancel);
    };
    if (signal?.aborted) cancel(undefined);
    signal?.addEventListener?.("abort", cancel);
    cancelling?.subscribe(cancel);
    work.then(resolve, reject).finally(stop);
  });
}

/** Whether the transformed body can be sent twice: streams, the `form-data` package's among them, cannot. */
function isReplayable(data: unknown): boolean {
  if (typeof data !== "object" || data === null) return true;
  return !("pipe" in data) && !("getReader" in data) && (!(Symbol.asyncIterator in data) || "arrayBuffer" in data);
}

/** The JSON document of a body that axios has not transformed yet. */
async function documentOf(data: unknown): Promise<unknown> {
  if (typeof Blob !== "undefined" && data instanceof Blob) return parseJson(await data.text());
  if (data instanceof ArrayBuffer || ArrayBuffer.isView(data)) return parseJson(new TextDecoder().decode(data));
  return typeof data === "string" ? parseJson(data) : data;
}
