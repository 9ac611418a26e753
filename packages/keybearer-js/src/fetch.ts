/** `keybearer/fetch`: a `fetch` with both credentials, refresh on 401 and exactly one retry. */

import { createClient, type Keybearer, type KeybearerOptions } from "./client.js";
import type { Exchange, Outgoing } from "./exchange.js";
import { parseJson } from "./record.js";
import type { Fetch } from "./service.js";
import { baseOfPage, isBrowser } from "./surroundings.js";

export type { Keybearer, KeybearerOptions, OwnSession, Profile, TokenInfo } from "./client.js";
export { returnAddress } from "./login-page.js";
export * from "./public.js";

export interface KeybearerRequestInit extends RequestInit {
  /** Sends the Api-Key, and no bearer token. */
  skipAuth?: boolean;
  /** Hands a 401 to the caller as it is. */
  skipRefresh?: boolean;
}

export type FetchWithCredentials = (input: RequestInfo | URL, init?: KeybearerRequestInit) => Promise<Response>;

export interface FetchKeybearer extends Keybearer {
  /** Sends a request in the name of whoever is signed in; otherwise as the global `fetch` does. */
  readonly fetch: FetchWithCredentials;
}

export function createKeybearer(options: KeybearerOptions): FetchKeybearer {
  const { keybearer, exchange } = createClient(options);
  return Object.assign(keybearer, { fetch: createFetch(exchange, options.fetch ?? globalThis.fetch.bind(globalThis)) });
}

function createFetch(exchange: Exchange, fetch: Fetch): FetchWithCredentials {
  return async (input, { skipAuth, skipRefresh, ...init } = {}) => {
    const original = input instanceof Request ? input : undefined;
    const text = input instanceof Request ? input.url : String(input);
    const url = new URL(text, baseOfPage());
    const headers = new Headers(init.headers ?? original?.headers);
    const signal = init.signal ?? original?.signal ?? null;
    const request: Outgoing<Response> = {
      url,
      isBare: skipAuth === true || headers.has("Authorization"),
      isFinal: skipRefresh === true,
      isReplayable: !isOneShot(init.body),
      wait: (work) => waitFor(work, signal),
      send: (credentials) => {
        const own = new Headers(headers);
        for (const [name, value] of Object.entries(credentials)) own.set(name, value);
        // A Request's body can be read once: each attempt reads a copy.
        return sendPinned(fetch, url, () => original?.clone() ?? url, { ...init, headers: own, signal });
      },
      documentOf: async (response) => (isJson(response) ? parseJson(await response.clone().text()) : undefined),
      markRetried: discard,
    };
    return exchange(request);
  };
}

function isJson({ headers }: Response): boolean {
  return /\bjson\b/i.test(headers.get("Content-Type") ?? "");
}

/** Lets go of the connection of an answer that nobody reads. */
function discard({ body }: Response): void {
  void body?.cancel();
}

function isOneShot(body: unknown): boolean {
  return body instanceof ReadableStream || (typeof body === "object" && body !== null && Symbol.asyncIterator in body);
}

function waitFor<T>(work: Promise<T>, signal: AbortSignal | null | undefined): Promise<T> {
  if (!signal) return work;
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => {
      reject(signal.reason as Error);
    };
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort);
    work.then(resolve, reject).finally(() => {
      signal.removeEventListener("abort", abort);
    });
  });
}

const MOST_REDIRECTS = 20;

/**
 * On Node, fetch would carry the Api-Key to wherever a redirect points: redirects are followed here, and another
 * origin gets neither credential. A browser follows them by itself, and asks the other origin first.
 */
async function sendPinned(fetch: Fetch, url: URL, input: () => Request | URL, init: RequestInit): Promise<Response> {
  const first = input();
  const of = first instanceof Request ? first : undefined;
  const mode = init.redirect ?? of?.redirect ?? "follow";
  if (isBrowser() || mode !== "follow") return fetch(first, init);
  const step: RequestInit = { method: of?.method ?? "GET", ...init, redirect: "manual" };
  return follow(fetch, url, step, await fetch(first, step), () => (of ? (input() as Request).body : null));
}

async function follow(
  fetch: Fetch,
  url: URL,
  first: RequestInit,
  answer: Response,
  bodyAgain: () => ReadableStream | null,
): Promise<Response> {
  let [at, step, response] = [url, first, answer];
  for (let followed = 0; isRedirect(response); followed += 1) {
    discard(response);
    at = new URL(response.headers.get("Location") ?? "", at);
    if (followed === MOST_REDIRECTS || !at.protocol.startsWith("http"))
      throw new TypeError("fetch failed: a redirect.");
    step = afterRedirect(step, response.status, bodyAgain);
    if (at.origin !== url.origin) step.headers = without(step.headers, ["Api-Key", "Authorization"]);
    response = await fetch(at, step);
  }
  return response;
}

function isRedirect({ status, headers }: Response): boolean {
  return [301, 302, 303, 307, 308].includes(status) && headers.has("Location");
}

/** The Fetch standard, "HTTP-redirect fetch": 303 becomes GET, and so does a POST that meets 301 or 302. */
function afterRedirect(step: RequestInit, status: number, bodyAgain: () => ReadableStream | null): RequestInit {
  const method = step.method?.toUpperCase();
  if ((status === 303 && method !== "HEAD") || (status < 303 && method === "POST")) {
    const headers = without(step.headers, ["Content-Type", "Content-Length", "Content-Encoding", "Content-Language"]);
    return { ...step, method: "GET", body: null, headers };
  }
  const body = step.body ?? bodyAgain();
  // Node wants to be told that a stream is sent before the answer is read.
  return { ...step, body, ...(isOneShot(body) ? { duplex: "half" } : {}) };
}

function without(headers: HeadersInit | undefined, names: readonly string[]): Headers {
  const left = new Headers(headers);
  for (const name of names) left.delete(name);
  return left;
}
