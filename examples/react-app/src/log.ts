/** What the client did, for people to read: its events, and the calls of the notes service around them. */
import type { AxiosError, AxiosInstance, InternalAxiosRequestConfig } from "axios";
import type { AxiosKeybearer, EventName, KeybearerEvents } from "keybearer/axios";

export interface LogEntry {
  readonly id: number;
  readonly at: Date;
  readonly kind: EventName | "call" | "answer" | "failure";
  readonly text: string;
  /** How often in a row. */
  readonly count: number;
}

const MOST_ENTRIES = 200;

/** Those events that there is something to say about. */
const SENTENCES: { readonly [Name in EventName]?: (event: KeybearerEvents[Name]) => string } = {
  signedIn: ({ user }) => `Signed in as ${user.email ?? user.id}.`,
  refreshed: () => "New tokens. What waited for them goes on.",
  retried: ({ path }) => `${path} met a 401 and is sent again with the new token, once.`,
  refreshUnavailable: ({ retryAfter }) =>
    `No answer to the refresh. The session is kept; next try in ${Math.ceil(retryAfter)} s at the earliest.`,
  sessionExpired: ({ code }) => `The service refused the refresh${code ? ` (${code})` : ""}: the session has ended.`,
  signedOut: () => "Signed out, in every tab.",
  storageCorrupted: () => "What was stored could not be read: signed out.",
  storageUnavailable: () => "The browser stores nothing: the tokens live as long as this page.",
};

let entries: readonly LogEntry[] = [];
const listeners = new Set<() => void>();

function set(next: readonly LogEntry[]): void {
  entries = next;
  for (const listener of listeners) listener();
}

function note(kind: LogEntry["kind"], text: string): void {
  const last = entries.at(-1);
  const isSame = last?.kind === kind && last.text === text;
  const kept = isSame ? entries.slice(0, -1) : entries.slice(1 - MOST_ENTRIES);
  const count = isSame ? last.count + 1 : 1;
  set([...kept, { id: isSame ? last.id : (last?.id ?? 0) + 1, at: new Date(), kind, text, count }]);
}

export const log = {
  get entries(): readonly LogEntry[] {
    return entries;
  },
  subscribe: (listener: () => void): (() => void) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
  clear: (): void => {
    set([]);
  },
  watchEvents(keybearer: AxiosKeybearer): void {
    for (const [name, sentence] of Object.entries(SENTENCES) as [EventName, (event: unknown) => string][]) {
      keybearer.on(name, (event) => note(name, sentence(event)));
    }
  },
  watchCalls({ interceptors }: AxiosInstance): void {
    interceptors.request.use((config) => {
      note("call", describe(config));
      return config;
    });
    interceptors.response.use(
      (response) => {
        note("answer", `${response.status} to ${describe(response.config)}`);
        return response;
      },
      (error: AxiosError) => {
        note("failure", error.response ? `${error.response.status} to ${describe(error.config)}` : error.message);
        throw error;
      },
    );
  },
};

function describe(config: InternalAxiosRequestConfig | undefined): string {
  return `${config?.method?.toUpperCase() ?? ""} ${config?.url ?? ""}`;
}
