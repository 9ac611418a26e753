/** Calls of the authentication service, on a private transport: no interceptor of anybody's sees them. */

import { ApiKeyError, ServiceError, ServiceUnavailableError, type KeybearerError } from "./errors.js";
import { fields, isToken, parseJson, parseUser, type Fields, type Session } from "./record.js";
import { after } from "./surroundings.js";

export type Fetch = typeof globalThis.fetch;

export interface Answer {
  readonly status: number;
  /** The JSON document; undefined when the body is none. */
  readonly document: unknown;
  readonly requestId: string | undefined;
  /** Seconds. */
  readonly retryAfter: number | undefined;
  /** Milliseconds that the service's clock is ahead of this device's; undefined when the answer has no date. */
  readonly clockOffset: number | undefined;
}

export interface Call {
  readonly method: string;
  /** Below the base URL. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: object;
  /** Milliseconds. */
  readonly timeout: number;
  /** The call goes on when its page is left. */
  readonly keepalive?: boolean;
}

/** Rejects only when there is no answer. A redirect is none: the Api-Key goes to the service and nowhere else. */
export type Service = (call: Call) => Promise<Answer>;

/** A call that `stop` finds under way ends at once, unless it is to outlive its page. */
export function createService(baseURL: string, apiKey: string, fetch: Fetch): { call: Service; stop: () => void } {
  const underWay = new Set<AbortController>();
  const call: Service = async ({ method, path, headers, body, timeout, keepalive = false }) => {
    const patience = new AbortController();
    if (!keepalive) underWay.add(patience);
    const timer = after(timeout, () => {
      patience.abort();
    });
    const sent = Date.now();
    try {
      const response = await fetch(`${baseURL}/${path}`, {
        method,
        headers: { "Api-Key": apiKey, ...(body && { "Content-Type": "application/json" }), ...headers },
        ...(body && { body: JSON.stringify(body) }),
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
        signal: patience.signal,
        keepalive,
      });
      return read(response, await response.text(), (sent + Date.now()) / 2);
    } finally {
      clearTimeout(timer);
      underWay.delete(patience);
    }
  };
  const stop = (): void => {
    for (const patience of underWay) patience.abort();
  };
  return { call, stop };
}

function read(response: Response, body: string, at: number): Answer {
  const { status, headers } = response;
  const date = Date.parse(headers.get("Date") ?? "");
  const hasDate = !Number.isNaN(date);
  return {
    status,
    document: parseJson(body),
    requestId: headers.get("X-Request-Id") ?? undefined,
    retryAfter: seconds(headers.get("Retry-After"), hasDate ? date : at),
    // Date has whole seconds, rounded down.
    clockOffset: hasDate ? date + 500 - at : undefined,
  };
}

/** Retry-After (RFC 9110, 10.2.3): seconds or a date; at most an hour. */
function seconds(text: string | null, now: number): number | undefined {
  const value = text ? Number(text) || (Date.parse(text) - now) / 1000 : NaN;
  return value >= 0 ? Math.min(value, 3600) : undefined;
}

/** The session of a session document; undefined when the document is anything else, or a token in it is malformed. */
export function sessionOf({ document, clockOffset }: Answer, knownOffset: number): Session | undefined {
  const { id, attributes } = fields(fields(document).data);
  const read = fields(attributes);
  const { accessToken, refreshToken, expiresIn } = read;
  const user = parseUser({ ...read, id });
  if (!user || !isToken(read.sessionId) || !isToken(accessToken) || !isToken(refreshToken)) return undefined;
  const lifetime = typeof expiresIn === "number" ? expiresIn * 1000 : NaN;
  if (!(lifetime > 0 && lifetime < Infinity)) return undefined;
  const offset = clockOffset ?? knownOffset;
  const expiresAt = Date.now() + offset + lifetime;
  return { id: read.sessionId, user, accessToken, refreshToken, expiresAt, lifetime, clockOffset: offset };
}

/** The resource of a document: its attributes, and its id. */
export function resourceOf(data: unknown): Fields {
  const { id, attributes } = fields(data);
  return { ...fields(attributes), id };
}

/** The first code of an error document; undefined when it is none. */
export function codeOf(document: unknown): string | undefined {
  const { errors } = fields(document);
  const { code } = fields(Array.isArray(errors) ? errors[0] : undefined);
  // Whatever else an answer holds, a token that it repeats for instance, does not become part of an error.
  return typeof code === "string" && /^[a-z_]+$/.test(code) ? code : undefined;
}

/** Whether nothing is known of what the service decided: it may be asked again. */
export function isUnavailable({ status, document }: Answer): boolean {
  if (status < 300) return status !== 204 && document === undefined;
  return status < 400 || status >= 500 || [408, 425, 429].includes(status);
}

/** The error for an answer that is not a success. */
export function refusalOf(answer: Answer): KeybearerError {
  const { status, document, requestId, retryAfter } = answer;
  if (isUnavailable(answer) && status !== 429) return new ServiceUnavailableError(retryAfter);
  const code = codeOf(document) ?? "unknown";
  const Kind = status === 403 && isApiKeyCode(code) ? ApiKeyError : ServiceError;
  return new Kind(code, status, requestId, retryAfter);
}

export function isApiKeyCode(code: string | undefined): boolean {
  return code?.startsWith("api_key_") === true;
}
