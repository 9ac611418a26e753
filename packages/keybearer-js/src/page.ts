/** What a page does by itself: it refreshes before the access token ends, while somebody looks at it. */

import type { Parts } from "./core.js";
import { RefreshUnavailableError } from "./errors.js";
import { left, margin } from "./exchange.js";
import { after } from "./surroundings.js";

const SHORTEST_TIMER = 1_000;

/** Watches the page until the client is disposed of. */
export function watchPage({ vault, refresher, events, look, disposers }: Parts): void {
  const leaving = new AbortController();
  const { signal } = leaving;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let refusedToken: string | undefined;

  const schedule = (pause = SHORTEST_TIMER): void => {
    clearTimeout(timer);
    const { session } = vault.entry;
    if (signal.aborted || !session || session.refreshToken === refusedToken || !isLookedAt()) return;
    const before = margin(session);
    // A clock that was set back must not put the refresh off beyond the token's own end.
    const due = Math.min(left(session), session.lifetime) - before - (Math.random() * before) / 6;
    timer = after(Math.max(due, pause), refresh);
  };

  const refresh = (): void => {
    if (!isLookedAt()) return; // no event has told that the network went
    const token = vault.entry.session?.refreshToken;
    refresher.refresh(true).then(
      () => {
        schedule();
      },
      (error: unknown) => {
        const isUnavailable = error instanceof RefreshUnavailableError;
        // Refused: the access token keeps its time, and whoever meets the 401 at its end hears of it.
        if (!isUnavailable) refusedToken = token;
        schedule(isUnavailable ? error.retryAfter * 1000 : undefined);
      },
    );
  };

  const onChange = (): void => {
    schedule();
  };
  const onLook = ({ type }: Event): void => {
    if (type === "online") refresher.resume();
    void Promise.resolve(look()).then(onChange);
  };

  const listening: [EventTarget, string][] = [
    [window, "online"],
    [window, "pageshow"],
    [document, "visibilitychange"],
  ];
  for (const [target, name] of listening) target.addEventListener(name, onLook, { signal });
  events.onAny(onChange);
  disposers.add(() => {
    leaving.abort();
    onChange();
  });
  schedule();
}

function isLookedAt(): boolean {
  return document.visibilityState === "visible" && navigator.onLine;
}
