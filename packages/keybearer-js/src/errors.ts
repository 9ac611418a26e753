/**
 * Every error of this package, with a stable `code`.
 *
 *     KeybearerError
 *     ├── ConfigurationError         configuration
 *     ├── SessionExpiredError        session_expired
 *     ├── RefreshUnavailableError    refresh_unavailable
 *     ├── NonReplayableBodyError     body_not_replayable
 *     ├── ServiceUnavailableError    service_unavailable
 *     └── ServiceError               the service's own code (`keybearer/codes`)
 *         └── ApiKeyError            a code that begins with api_key_
 *
 * No message, and no property, holds a token or a key.
 */

const BRAND = Symbol.for("keybearer.error");

export class KeybearerError extends Error {
  constructor(
    /** Stable; decide by this. */
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = "KeybearerError";
  }

  get [BRAND](): true {
    return true;
  }
}

/** What was asked for cannot work; a developer has to change it. */
export class ConfigurationError extends KeybearerError {
  constructor(message: string) {
    super("configuration", message);
  }
}

/** The service refused the refresh with 401: nobody is signed in any longer. */
export class SessionExpiredError extends KeybearerError {
  constructor(
    /** The service's code, such as `refresh_token_expired`; undefined when another tab met the refusal. */
    readonly reason?: string | undefined,
  ) {
    super("session_expired", "Session ended. Log in again.");
  }
}

/** The refresh could not be tried, or was not answered: the session is still there. */
export class RefreshUnavailableError extends KeybearerError {
  constructor(
    /** Seconds after which another try makes sense. */
    readonly retryAfter: number,
  ) {
    super("refresh_unavailable", "No answer from the service. Try again later.");
  }
}

/** A request with a one-shot body met a 401. The token has been refreshed; send the request again with a new body. */
export class NonReplayableBodyError extends KeybearerError {
  constructor() {
    super("body_not_replayable", "A stream cannot be sent twice. Send the request again with a new one.");
  }
}

/** The service did not answer, or answered that it cannot now. */
export class ServiceUnavailableError extends KeybearerError {
  constructor(
    /** Seconds, when the service said so. */
    readonly retryAfter?: number | undefined,
  ) {
    super("service_unavailable", "No answer from the service. Try again later.");
  }
}

/** The service's refusal. `code` is of its catalogue, or `unknown` when the answer was not the service's. */
export class ServiceError extends KeybearerError {
  constructor(
    code: string,
    readonly status: number,
    /** The same as in the service's log. */
    readonly requestId?: string | undefined,
    /** Seconds, when the service said so. */
    readonly retryAfter?: number | undefined,
  ) {
    super(code, `The service answered ${status} ${code}.`);
  }
}

/** The Api-Key was refused (403). Refreshing cannot help; the tokens are kept. */
export class ApiKeyError extends ServiceError {}

/** Recognises the errors of this package, those of another copy of it too; with `code`, only those. */
export function isKeybearerError(error: unknown, code?: string): error is KeybearerError {
  return (
    typeof error === "object" &&
    error !== null &&
    (error as { [BRAND]?: unknown })[BRAND] === true &&
    (code === undefined || (error as KeybearerError).code === code)
  );
}
