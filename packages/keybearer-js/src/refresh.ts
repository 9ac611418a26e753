/** The refresh: one at a time in this tab, one at a time in all tabs, and never a lost session (R5, R6, R9, R10). */

import { ApiKeyError, ConfigurationError, RefreshUnavailableError, SessionExpiredError } from "./errors.js";
import type { Events } from "./events.js";
import { compare, type Session } from "./record.js";
import { isUnavailable, refusalOf, sessionOf, type Service } from "./service.js";
import type { Vault } from "./vault.js";

export interface Refresher {
  /** The refresh under way that requests have to wait for: one whose access token is known to be over. */
  readonly awaited: Promise<unknown> | undefined;
  /**
   * New tokens for the login of the current entry, or those that another tab has got meanwhile. A `proactive` refresh
   * ends nothing: refused, it leaves the access token its time.
   *
   * Rejects with SessionExpiredError, RefreshUnavailableError, ApiKeyError or ConfigurationError.
   */
  refresh(proactive?: boolean): Promise<Session>;
  /** The network is back: the next refresh is tried without a pause. */
  resume(): void;
}

/** Seconds. */
const LONGEST_PAUSE = 60;

/** `exclusively` runs one refresh at a time in all tabs that share the storage. */
export function createRefresher(
  vault: Vault,
  call: Service["call"],
  events: Events,
  exclusively: (work: () => Promise<Session>) => Promise<Session>,
): Refresher {
  let underWay: Promise<Session> | undefined;
  let urgent = false;
  let failures = 0;
  // Milliseconds of `performance`.
  let pauseEnds = 0;

  const resume = (): void => {
    failures = 0;
    pauseEnds = 0;
  };

  /** What is known instead of a late answer: after a logout or a login, or another tab's refresh. */
  const current = (): Session => {
    const { session } = vault.entry;
    if (!session) throw new SessionExpiredError();
    return session;
  };

  const pause = (said = 0): number => {
    const retryAfter = Math.max(Math.min(2 ** failures * (1 + Math.random() / 4), LONGEST_PAUSE), said);
    failures += 1;
    pauseEnds = performance.now() + retryAfter * 1000;
    events.emit("refreshUnavailable", { retryAfter });
    return retryAfter;
  };

  const attempt = async (asked: string): Promise<Session> => {
    await vault.load();
    // Sent before, by another tab perhaps, whose news may be on its way still: storage is slower than the lock.
    for (let looks = 4; looks > 0 && vault.entry.session?.idempotencyKey; looks -= 1) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      await vault.load();
    }
    const { entry } = vault;
    const held = current();
    if (held.accessToken !== asked) return held;
    const question = {
      path: "oauth/token/refresh",
      headers: { "Idempotency-Key": await vault.idempotencyKey(randomKey()) },
      body: { refresh_token: held.refreshToken },
    };
    const answer = await call(question, !failures);
    await vault.load();
    if (compare(vault.entry, entry)) return current();
    if (isUnavailable(answer)) throw new RefreshUnavailableError(pause(answer.retryAfter));
    const fresh = sessionOf(answer, held.clockOffset);
    if (fresh) {
      failures = 0;
      await vault.renew(fresh);
      return fresh;
    }
    const error = refusalOf(answer);
    if (answer.status !== 401) throw error instanceof ApiKeyError ? error : new ConfigurationError(error.message);
    if (urgent || Date.now() + held.clockOffset >= held.expiresAt) await vault.end("expired", error.code);
    throw new SessionExpiredError(error.code);
  };

  const run = async (): Promise<Session> => {
    const { accessToken } = current();
    const pauseLeft = (pauseEnds - performance.now()) / 1000;
    if (pauseLeft > 0) throw new RefreshUnavailableError(pauseLeft);
    return exclusively(() => attempt(accessToken));
  };

  const land = (): void => {
    // Before any listener hears of the outcome, so that a refresh that a listener asks for is a new one.
    underWay = undefined;
    urgent = false;
    events.flush();
  };

  // Another login does not wait for what failed before it.
  events.on("signedIn", resume);
  return {
    resume,
    get awaited() {
      return urgent ? underWay : undefined;
    },
    refresh(proactive = false) {
      urgent ||= !proactive;
      return (underWay ??= run().finally(land));
    },
  };
}

/** 160 random bits in the alphabet of tokens. */
function randomKey(): string {
  return crypto.getRandomValues(new Uint32Array(5)).join("-");
}
