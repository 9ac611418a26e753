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
    this.name = new.target.name;
  }

  get [BRAND](): true {
    return true;
  }
}

/** What was asked for cannot work; a developer has to change it. */
export class ConfigurationError extends KeybearerError {
  override readonly name = "ConfigurationError";

  constructor(message: string) {
    super("configuration", message);
  }
}

/** The service refused the refresh with 401: nobody is signed in any longer. */
export class SessionExpiredError extends KeybearerError {
  override readonly name = "SessionExpiredError";

  constructor(
    /** The service's code, such as `refresh_token_expired`; undefined when another tab met the refusal. */
    readonly reason?: string,
  ) {
    super("session_expired", "The session has ended. Log in again.");
  }
}

/** The refresh could not be tried, or was not answered: the session is still there. */
export class RefreshUnavailableError extends KeybearerError {
  override readonly name = "RefreshUnavailableError";

  constructor(
    /** Seconds after which another try makes sense. */
    readonly retryAfter: number,
  ) {
    super("refresh_unavailable", "The access token could not be refreshed now. The session is kept; try again later.");
  }
}

/** A request with a one-shot body met a 401. The token has been refreshed; send the request again with a new body. */
export class NonReplayableBodyError extends KeybearerError {
  override readonly name = "NonReplayableBodyError";

  constructor() {
    super(
      "body_not_replayable",
      "The body is a stream and cannot be sent twice. Send the request again with a new one.",
    );
  }
}

/** The service did not answer, or answered that it cannot now. */
export class ServiceUnavailableError extends KeybearerError {
  override readonly name = "ServiceUnavailableError";

  constructor(
    /** Seconds, when the service said so. */
    readonly retryAfter?: number,
  ) {
    super("service_unavailable", "The authentication service cannot be reached now. Try again later.");
  }
}

/** The service's refusal. `code` is of its catalogue, or `unknown` when the answer was not the service's. */
export class ServiceError extends KeybearerError {
  override readonly name: string = "ServiceError";

  constructor(
    code: string,
    readonly status: number,
    title?: string,
    /** The same as in the service's log. */
    readonly requestId?: string,
    /** Seconds, when the service said so. */
    readonly retryAfter?: number,
  ) {
    super(code, title ?? `The service answered ${status}.`);
  }
}

/** The Api-Key was refused (403). Refreshing cannot help; the tokens are kept. */
export class ApiKeyError extends ServiceError {
  override readonly name = "ApiKeyError";
}

/** Recognises the errors of this package, those of another copy of it too; with `code`, only those. */
export function isKeybearerError(error: unknown, code?: string): error is KeybearerError {
  return (
    typeof error === "object" &&
    error !== null &&
    (error as { [BRAND]?: unknown })[BRAND] === true &&
    (code === undefined || (error as KeybearerError).code === code)
  );
}
