/** The tokens of this tab, and their copy in a storage that other tabs may share. */

import type { Events } from "./events.js";
import { compare, parseEntry, SIGNED_OUT, type Ending, type Entry, type Session } from "./record.js";
import type { OpenStorage, TokenStorage } from "./storage.js";

export interface Vault {
  readonly entry: Entry;
  /** Takes over what another tab has stored since. At once when the storage is synchronous. */
  load(): void | Promise<void>;
  /** A new login. */
  begin(session: Session): Promise<void>;
  /** A refresh of the login of the current entry. */
  renew(session: Session): Promise<void>;
  /** Nobody is signed in any more. What remains is the news of it, which wins over a late answer in any tab. */
  end(ended: Ending, code?: string): void | Promise<void>;
  /** The Idempotency-Key of the next refresh: the one that is stored by now, or `fresh`. */
  idempotencyKey(fresh: string): Promise<string>;
}

export function createVault(open: OpenStorage, key: string, events: Events): Vault {
  let entry = SIGNED_OUT;
  // As last read from the storage or written to it: the same text again is no news, whatever became of a write since.
  let seen: string | null = null;
  // Their beginnings and their ends.
  let writes = 0;
  let warned = false;

  const attempt = <T>(
    call: (storage: TokenStorage) => T | Promise<T>,
    then: (value: T) => void | Promise<void>,
    otherwise?: () => void | Promise<void>,
  ): void | Promise<void> => {
    const failed = (): void | Promise<void> => {
      if (!warned) events.emit("storageUnavailable", {});
      warned = true;
      return otherwise?.();
    };
    if (!open) return;
    try {
      const value = call(open());
      // What a storage answers at once is no object.
      return Object(value) === value ? Promise.resolve(value).then(then, failed) : then(value as T);
    } catch {
      return failed();
    }
  };

  const set = (next: Entry, code?: string): void => {
    const previous = entry;
    entry = next;
    const user = next.session?.user;
    if (user && compare(next, previous))
      events.emit(next.generation === previous.generation ? "refreshed" : "signedIn", { user });
    else if (user || !previous.session) return;
    else if (next.ended === "expired") events.emit("sessionExpired", { code });
    else events.emit("signedOut", { reason: "signed_out" });
  };

  const put = (text: string | null, otherwise?: () => void | Promise<void>): void | Promise<void> => {
    writes += 1;
    return attempt(
      (to) => (text === null ? to.removeItem(key) : to.setItem(key, text)),
      () => {
        seen = text;
        writes += 1;
      },
      otherwise,
    );
  };

  const remove = (): void | Promise<void> => put(null);

  /** An older record of the same login is left when it cannot be replaced, with its Idempotency-Key; another's is not. */
  const save = (otherwise?: () => void | Promise<void>): void | Promise<void> => put(JSON.stringify(entry), otherwise);

  /** The next generation. */
  const reset = (members: Partial<Entry> = {}, code?: string): void =>
    set({ ...SIGNED_OUT, generation: entry.generation + 1, ...members }, code);

  const take = (text: string | null): void | Promise<void> => {
    if (text === seen) return;
    seen = text;
    if (text == null) return reset();
    const stored = parseEntry(text);
    if (typeof stored === "object") {
      // Another tab's late write of what this tab knows to be over is put right.
      return compare(entry, stored) > 0 ? save() : set(stored);
    }
    reset();
    events.emit("storageCorrupted", { newer: !!stored });
    return stored ? undefined : remove();
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

  return {
    get entry() {
      return entry;
    },
    load,
    async begin(session) {
      await load();
      // Above what any tab has seen, one that knows of logins before the storage was cleared too.
      reset({ generation: Math.max(entry.generation + 1, Date.now()), session });
      await save(remove);
    },
    async renew(session) {
      const { refreshToken, idempotencyKey } = entry.session ?? {};
      // While the token is repeated, an older question with this key may be on its way, and move the chain unheard.
      const next = refreshToken === session.refreshToken ? { ...session, idempotencyKey } : session;
      await write({ ...entry, revision: entry.revision + 1, session: next });
    },
    end(ended, code) {
      reset({ ended }, code);
      return save(remove);
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
