/** Calls of the authentication service, on a private transport: no interceptor of anybody's sees them. */

import {
  ApiKeyError,
  ConfigurationError,
  ServiceError,
  ServiceUnavailableError,
  type KeybearerError,
} from "./errors.js";
import { fields, isCount, isToken, parseJson, parseSession, type Fields, type Session } from "./record.js";
import { checkedOrigin } from "./origins.js";
import { within } from "./surroundings.js";

export type Fetch = typeof globalThis.fetch;

export interface Answer {
  /** 0 when there is no answer. */
  readonly status: number;
  /** The JSON document; undefined when the body is none. */
  readonly document?: unknown;
  readonly requestId?: string | undefined;
  /** Seconds. */
  readonly retryAfter?: number | undefined;
  /** Milliseconds that the service's clock is ahead of this device's; undefined when the answer has no date. */
  readonly clockOffset?: number | undefined;
}

export interface Call {
  /** Default: POST. */
  readonly method?: string;
  /** Below the base URL. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: object;
  /** The call goes on when its page is left. */
  readonly keepalive?: boolean;
}

export interface ServiceOptions {
  /** The service, with its base path: `https://auth.example.com/v1/api`. */
  readonly baseURL: string;
  /** The Api-Key. Default: `process.env.REACT_APP_AUTH_API_KEY` as the build put it in. */
  readonly apiKey?: string | undefined;
  /** Origins that may be plain HTTP (loopback always may). */
  readonly insecureOrigins?: readonly string[];
  /** Milliseconds for a refresh, its repeat included (10,000), and for other calls of the service. */
  readonly timeout?: number;
  /** Sends what goes to the service. Default: the `fetch` that is global at creation. */
  readonly fetch?: Fetch;
}

export interface Service {
  readonly apiKey: string;
  /** The origin and the base path of the service, without a slash at the end. */
  readonly base: string;
  /**
   * Never rejects. A redirect is no answer: the Api-Key goes to the service and nowhere else. `isRepeated`: after a
   * failed try there is one more within the same time, unless the service has said when.
   */
  readonly call: (call: Call, isRepeated?: boolean) => Promise<Answer>;
}

/** While a call is under way, what ends it is among `disposers`, unless it is to outlive its page. */
export function createService(options: ServiceOptions, disposers: Set<() => void>): Service {
  const { fetch = globalThis.fetch, timeout = 10_000 } = options;
  const apiKey = options.apiKey ?? keyOfTheBuild();
  if (!isToken(apiKey)) throw new ConfigurationError("No valid Api-Key. Pass apiKey or set REACT_APP_AUTH_API_KEY.");
  const { origin, pathname } = checkedOrigin(options.baseURL, options.insecureOrigins);
  const base = origin + pathname.replace(/\/+$/, "");
  const send = async (signal: AbortSignal, { path, headers, body, ...how }: Call): Promise<Answer> => {
    const sent = Date.now();
    try {
      const response = await fetch(`${base}/${path}`, {
        method: "POST",
        ...how,
        headers: { "Api-Key": apiKey, ...(body && { "Content-Type": "application/json" }), ...headers },
        ...(body && { body: JSON.stringify(body) }),
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
        signal,
      });
      return read(response, await response.text(), (sent + Date.now()) / 2);
    } catch {
      return { status: 0 };
    }
  };
  const call: Service["call"] = (what, isRepeated) =>
    within(timeout, async (signal, abort) => {
      if (!what.keepalive) disposers.add(abort);
      let answer = await send(signal, what);
      const isLast = !isRepeated || answer.retryAfter !== undefined || signal.aborted;
      if (!isLast && isUnavailable(answer)) answer = await send(signal, what);
      disposers.delete(abort);
      return answer;
    });
  return { apiKey, base, call };
}

// Bundlers replace the expression below literally; where nothing did, there may be no `process`.
function keyOfTheBuild(): string | undefined {
  try {
    return process.env.REACT_APP_AUTH_API_KEY;
  } catch {
    return undefined;
  }
}

function read({ status, headers }: Response, body: string, at: number): Answer {
  const header = (name: string): string => headers.get(name) ?? "";
  const date = Date.parse(header("Date"));
  // RFC 9110, 10.2.3: seconds or a date; at most an hour.
  const text = header("Retry-After");
  const pause = Number(text) || (Date.parse(text) - (date || at)) / 1000;
  return {
    status,
    document: parseJson(body),
    requestId: header("X-Request-Id") || undefined,
    retryAfter: pause >= 0 ? Math.min(pause, 3600) : undefined,
    // Date has whole seconds, rounded down.
    clockOffset: date ? date + 500 - at : undefined,
  };
}

/** The session of a session document; undefined when the answer is anything else, or a token in it is malformed. */
export function sessionOf({ status, document, clockOffset }: Answer, knownOffset = 0): Session | undefined {
  const { id, attributes } = fields(fields(document).data);
  const read = fields(attributes);
  const offset = clockOffset ?? knownOffset;
  const lifetime = isCount(read.expiresIn) ? read.expiresIn * 1000 : NaN;
  const times = { lifetime, expiresAt: Date.now() + offset + lifetime, clockOffset: offset };
  const own = { ...times, id: read.sessionId, idempotencyKey: undefined };
  return status < 300 ? parseSession({ ...read, ...own, user: { ...read, id } }) : undefined;
}

/** The resource of a document: its attributes, and its id. */
export function resourceOf(data: unknown): Fields {
  const { id, attributes } = fields(data);
  return { ...fields(attributes), id };
}

/** The first code of an error document; undefined when it is none. */
function codeOf(document: unknown): string | undefined {
  const { code } = fields(fields(fields(document).errors)[0]);
  // Whatever else an answer holds, a token that it repeats for instance, does not become part of an error.
  return typeof code === "string" && /^[a-z_]+$/.test(code) ? code : undefined;
}

/** Whether nothing is known of what the service decided: it may be asked again. */
export function isUnavailable(answer: Answer): boolean {
  const { status } = answer;
  return status < 400 ? !sessionOf(answer) : /^(5|408|425|429)/.test(`${status}`);
}

/** The error for an answer that is not what was asked for. */
export function refusalOf(answer: Answer): KeybearerError {
  const { status, document, requestId, retryAfter } = answer;
  if (isUnavailable(answer) && status !== 429) return new ServiceUnavailableError(retryAfter);
  const code = codeOf(document) ?? "unknown";
  const isOfKey = status === 403 && code.startsWith("api_key_");
  return new (isOfKey ? ApiKeyError : ServiceError)(code, status, requestId, retryAfter);
}
