/** Errors as sentences for the person in front of the page. */
import { isAxiosError } from "axios";
import { isKeybearerError } from "keybearer/axios";

const SENTENCES: Readonly<Record<string, string>> = {
  invalid_credentials: "The email address or the password is not right.",
  account_not_activated: "This account is not active yet.",
  account_disabled: "This account is disabled. Ask whoever looks after it.",
  service_unavailable: "The authentication service cannot be reached. Is `make demo` still running?",
  refresh_unavailable: "The authentication service gives no answer just now. You are still signed in; try again soon.",
  session_expired: "Your session has ended. Log in again.",
  validation_failed: "Fill in both fields.",
};

export function explain(error: unknown): string {
  if (isKeybearerError(error)) return SENTENCES[error.code] ?? `${error.message} (${error.code})`;
  if (!isAxiosError(error)) return "Something went wrong in this page. The browser's console says more.";
  if (!error.response) return "The notes service cannot be reached. Is `make demo` still running?";
  return `The notes service answered ${error.response.status}.`;
}

/** Seconds until the next attempt is admitted; undefined when the error is another one. */
export function secondsToWait(error: unknown): number | undefined {
  if (!isKeybearerError(error, "too_many_attempts")) return undefined;
  return "retryAfter" in error && typeof error.retryAfter === "number" ? error.retryAfter : 60;
}
