/** The tokens of this tab, and their copy in a storage that other tabs may share. */

import type { Events } from "./events.js";
import { isNewer, parseEntry, SIGNED_OUT, type Ending, type Entry, type Session } from "./record.js";
import type { ChosenStorage, TokenStorage } from "./storage.js";

export interface Vault {
  readonly entry: Entry;
  /** Takes over what another tab has stored since. At once when the storage is synchronous. */
  load(): void | Promise<void>;
  /** A new login. */
  begin(session: Session): Promise<void>;
  /** A refresh of the login of the current entry. */
  renew(session: Session): Promise<void>;
  /** The user's own logout. What remains is the news of it, which wins over a late answer in any tab. */
  leave(): Promise<void>;
  /** The service has ended the login of `of`. False, and nothing is done, when the storage has something newer by now. */
  expire(of: Entry, code: string): Promise<boolean>;
  /** The Idempotency-Key of the next refresh: the one that is stored by now, or `fresh`. */
  idempotencyKey(fresh: string): Promise<string>;
}

export function createVault(open: ChosenStorage["open"], key: string, events: Events): Vault {
  let entry = SIGNED_OUT;
  // As last read from the storage or written to it: the same text again is no news, whatever became of a write since.
  let seen: string | null = null;
  // Their beginnings and their ends.
  let writes = 0;
  let warned = false;

  const warn = (): void => {
    if (!warned) events.emit("storageUnavailable", {});
    warned = true;
  };

  const attempt = <T>(
    call: (storage: TokenStorage) => T | Promise<T>,
    then: (value: T) => void | Promise<void>,
    otherwise?: () => void | Promise<void>,
  ): void | Promise<void> => {
    const failed = (): void | Promise<void> => {
      warn();
      return otherwise?.();
    };
    if (!open) return;
    try {
      const value = call(open());
      return isPromise(value) ? Promise.resolve(value).then(then).catch(failed) : then(value);
    } catch {
      return failed();
    }
  };

  const set = (next: Entry, code?: string): void => {
    const previous = entry;
    entry = next;
    announce(events, previous, next, code);
  };

  const remove = (): void | Promise<void> =>
    attempt(
      (from) => from.removeItem(key),
      () => void (seen = null),
    );

  /** An older record of the same login is left when it cannot be replaced, with its Idempotency-Key; another's is not. */
  const save = (otherwise?: () => void | Promise<void>): void | Promise<void> => {
    const text = JSON.stringify(entry);
    writes += 1;
    return attempt(
      (to) => to.setItem(key, text),
      () => {
        seen = text;
        writes += 1;
      },
      otherwise,
    );
  };

  const forget = (): void => set({ ...SIGNED_OUT, generation: entry.generation + 1 });

  const take = (text: string | null): void | Promise<void> => {
    if (text === seen) return;
    seen = text;
    if (text === null) return forget();
    const stored = parseEntry(text);
    if (typeof stored === "object") {
      // Another tab's late write of what this tab knows to be over is put right.
      return isNewer(entry, stored) ? save() : set(stored);
    }
    forget();
    events.emit("storageCorrupted", { newer: stored === "newer" });
    return stored === "newer" ? undefined : remove();
  };

  const load = (): void | Promise<void> => {
    const before = writes;
    // What a slow storage read before a write of this tab's, or during it, is no news.
    return attempt(
      (from) => from.getItem(key),
      (text) => (writes === before ? take(text) : undefined),
    );
  };

  const write = (next: Entry): void | Promise<void> => {
    set(next);
    return save();
  };

  const end = (ended: Ending, code?: string): void | Promise<void> => {
    set({ ...SIGNED_OUT, generation: entry.generation + 1, ended }, code);
    return save(remove);
  };

  return {
    get entry() {
      return entry;
    },
    load,
    async begin(session) {
      await load();
      // Above what any tab has seen, one that knows of logins before the storage was cleared too.
      set({ ...SIGNED_OUT, generation: Math.max(entry.generation + 1, Date.now()), session });
      await save(remove);
    },
    async renew(session) {
      const { refreshToken, idempotencyKey } = entry.session ?? {};
      // While the token is repeated, an older question with this key may be on its way, and move the chain unheard.
      const next = refreshToken === session.refreshToken ? { ...session, idempotencyKey } : session;
      await write({ ...entry, revision: entry.revision + 1, session: next });
    },
    async leave() {
      await end("signed_out");
    },
    async expire(of, code) {
      await load();
      const isSame = entry.generation === of.generation && entry.revision === of.revision;
      if (isSame) await end("expired", code);
      return isSame;
    },
    async idempotencyKey(fresh) {
      const { session } = entry;
      if (session && !session.idempotencyKey) {
        await write({ ...entry, session: { ...session, idempotencyKey: fresh } });
        // Without a lock another tab may have stored its own in the same moment: the stored one counts.
        await load();
      }
      return entry.session?.idempotencyKey ?? fresh;
    },
  };
}

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof (value as { then?: unknown } | null)?.then === "function";
}

function announce(events: Events, previous: Entry, next: Entry, code?: string): void {
  const { session } = next;
  if (session && next.generation !== previous.generation) events.emit("signedIn", { user: session.user });
  else if (session && next.revision !== previous.revision) events.emit("refreshed", { user: session.user });
  else if (!session && previous.session) {
    if (next.ended === "expired") events.emit("sessionExpired", { code });
    else events.emit("signedOut", { reason: "signed_out" });
  }
}
