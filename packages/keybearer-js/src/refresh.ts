/** The refresh: one at a time in this tab, one at a time in all tabs, and never a lost session (R5, R6, R9, R10). */

import { ApiKeyError, ConfigurationError, RefreshUnavailableError, SessionExpiredError } from "./errors.js";
import type { Events } from "./events.js";
import { withLock } from "./lock.js";
import type { Entry, Session } from "./record.js";
import { isUnavailable, refusalOf, sessionOf, type Answer, type Service } from "./service.js";
import { after } from "./surroundings.js";
import type { Vault } from "./vault.js";

export interface RefreshOptions {
  /** The name of the lock across tabs; undefined when the storage is this tab's own. */
  readonly lockName: string | undefined;
  /** Milliseconds. */
  readonly timeout: number;
  /** Milliseconds; more than `timeout`. */
  readonly lockWait: number;
}

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

const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 60_000;

export function createRefresher(vault: Vault, service: Service, events: Events, options: RefreshOptions): Refresher {
  let underWay: Promise<Session> | undefined;
  let urgent = false;
  let failures = 0;
  let pauseEnds = 0;
  // Of the login that failed; another one does not wait for it.
  let pausedGeneration = 0;

  /** Seconds. */
  const pauseLeft = (): number => (pauseEnds - performance.now()) / 1000;

  const unavailable = (retryAfter = 0): RefreshUnavailableError => {
    const pause = Math.min(FIRST_PAUSE * 2 ** failures * (1 + Math.random() / 4), LONGEST_PAUSE);
    failures += 1;
    pausedGeneration = vault.entry.generation;
    pauseEnds = performance.now() + Math.max(pause, retryAfter * 1000);
    const error = new RefreshUnavailableError(pauseLeft());
    events.emit("refreshUnavailable", { retryAfter: error.retryAfter });
    return error;
  };

  /** After a failed try one more, but for a service that has said when. */
  const ask = async (refreshToken: string, idempotencyKey: string): Promise<Answer | undefined> => {
    const deadline = performance.now() + options.timeout;
    for (let triesLeft = failures === 0 ? 2 : 1; ;) {
      const answer = await service({
        method: "POST",
        path: "oauth/token/refresh",
        headers: { "Idempotency-Key": idempotencyKey },
        body: { refresh_token: refreshToken },
        timeout: Math.max(deadline - performance.now(), 1),
      }).catch(() => undefined);
      triesLeft -= 1;
      const isDecided = answer && !isUndecided(answer);
      if (isDecided || answer?.retryAfter !== undefined || triesLeft === 0 || performance.now() >= deadline)
        return answer;
    }
  };

  const attempt = async (asked: Session): Promise<Session> => {
    await vault.load();
    // Sent before, by another tab perhaps, whose news may be on its way still: storage is slower than the lock.
    for (let looks = 4; looks > 0 && vault.entry.session?.idempotencyKey; looks -= 1) {
      await new Promise<void>((resolve) => after(50, resolve));
      await vault.load();
    }
    const { entry } = vault;
    const held = current();
    if (held.accessToken !== asked.accessToken) return held;

    const answer = await ask(held.refreshToken, await vault.idempotencyKey(randomKey()));
    await vault.load();
    const now = vault.entry;
    if (now.generation !== entry.generation || now.revision !== entry.revision) return current();
    if (!answer || isUndecided(answer)) throw unavailable(answer?.retryAfter);
    const fresh = sessionOf(answer, held.clockOffset);
    if (!fresh) return refused(answer, entry, held);
    failures = 0;
    await vault.renew(fresh);
    return fresh;
  };

  /** What is known instead of a late answer: after a logout or a login, or another tab's refresh. */
  const current = (): Session => {
    const { session } = vault.entry;
    if (!session) throw new SessionExpiredError();
    return session;
  };

  const refused = async (answer: Answer, entry: Entry, held: Session): Promise<Session> => {
    const error = refusalOf(answer);
    if (answer.status === 401) {
      const endsNow = urgent || Date.now() + held.clockOffset >= held.expiresAt;
      if (endsNow && !(await vault.expire(entry, error.code))) return current();
      throw new SessionExpiredError(error.code);
    }
    if (error instanceof ApiKeyError) throw error;
    throw new ConfigurationError(`The service refused to refresh: ${answer.status} ${error.code}.`);
  };

  const resume = (): void => {
    failures = 0;
    pauseEnds = 0;
  };

  const run = async (): Promise<Session> => {
    const asked = current();
    if (vault.entry.generation !== pausedGeneration) resume();
    if (pauseLeft() > 0) throw new RefreshUnavailableError(pauseLeft());
    const work = () => attempt(asked);
    return options.lockName === undefined ? work() : withLock(options.lockName, options.lockWait, work);
  };

  const start = (): Promise<Session> => {
    const flight = run().finally(() => {
      // Before any listener hears of the outcome, so that a refresh that a listener asks for is a new one.
      underWay = undefined;
      urgent = false;
      events.flush();
    });
    underWay = flight;
    return flight;
  };

  return {
    resume,
    get awaited() {
      return urgent ? underWay : undefined;
    },
    refresh(proactive = false) {
      urgent ||= !proactive;
      return underWay ?? start();
    },
  };
}

/** Whether it is unknown what the service decided: no answer that it gives, or one without a whole session in it. */
function isUndecided(answer: Answer): boolean {
  return isUnavailable(answer) || (answer.status < 300 && !sessionOf(answer, 0));
}

/** 160 random bits in the alphabet of tokens. */
function randomKey(): string {
  return crypto.getRandomValues(new Uint32Array(5)).join("-");
}
