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
  /** The login is over: what remains is the news of it, which wins over a late answer in any tab. */
  end(ending: Ending, code?: string): Promise<void>;
  /** The Idempotency-Key of the next refresh: the one that is stored by now, or `fresh`. */
  idempotencyKey(fresh: string): Promise<string>;
}

export function createVault(open: ChosenStorage["open"], key: string, events: Events): Vault {
  let entry = SIGNED_OUT;
  // As last read from the storage or written to it: the same text again is no news, whatever became of a write since.
  let seen: string | null = null;
  let warned = false;

  const warn = (): void => {
    if (!warned) events.emit("storageUnavailable", {});
    warned = true;
  };

  const attempt = <T>(call: (storage: TokenStorage) => T | Promise<T>, then: (value: T) => void | Promise<void>) => {
    if (!open) return undefined;
    try {
      const value = call(open());
      return value instanceof Promise ? value.then(then).catch(warn) : then(value);
    } catch {
      return warn();
    }
  };

  const set = (next: Entry, code?: string): void => {
    const previous = entry;
    entry = next;
    announce(events, previous, next, code);
  };

  const save = (): void | Promise<void> => {
    const text = JSON.stringify(entry);
    return attempt(
      (to) => to.setItem(key, text),
      () => void (seen = text),
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
    if (stored === "newer") return undefined;
    return attempt(
      (from) => from.removeItem(key),
      () => void (seen = null),
    );
  };

  const load = () => {
    const known = seen;
    // What a slow storage read before a write of this tab's is no news.
    return attempt(
      (from) => from.getItem(key),
      (text) => (seen === known ? take(text) : undefined),
    );
  };

  const write = (next: Entry, code?: string): void | Promise<void> => {
    set(next, code);
    return save();
  };

  return {
    get entry() {
      return entry;
    },
    load,
    async begin(session) {
      await load();
      await write({ ...SIGNED_OUT, generation: entry.generation + 1, session });
    },
    async renew(session) {
      await write({ ...entry, revision: entry.revision + 1, session });
    },
    async end(ended, code) {
      await load();
      await write({ ...SIGNED_OUT, generation: entry.generation + 1, ended }, code);
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

function announce(events: Events, previous: Entry, next: Entry, code?: string): void {
  const { session } = next;
  if (session && next.generation !== previous.generation) events.emit("signedIn", { user: session.user });
  else if (session && next.revision !== previous.revision) events.emit("refreshed", { user: session.user });
  else if (!session && previous.session) {
    if (next.ended === "expired") events.emit("sessionExpired", { code });
    else events.emit("signedOut", { reason: "signed_out" });
  }
}
