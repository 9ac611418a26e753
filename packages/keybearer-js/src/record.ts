/** What is stored: one record, so that no reader ever sees one login's access token beside another's refresh token. */

export interface User {
  readonly id: string;
  readonly email: string | null;
  readonly firstName: string | null;
  readonly lastName: string | null;
}

export interface Session {
  readonly id: string;
  readonly user: User;
  readonly accessToken: string;
  readonly refreshToken: string;
  /** Of the refresh that is under way or was not answered; every repeat of it sends the same. */
  readonly idempotencyKey?: string | undefined;
  /** Milliseconds since 1970 by the service's clock. */
  readonly expiresAt: number;
  /** Milliseconds that the access token had when it was issued. */
  readonly lifetime: number;
  /** Milliseconds that the service's clock was ahead of this device's. */
  readonly clockOffset: number;
}

export type Ending = "expired" | "signed_out";

export interface Entry {
  readonly version: 1;
  /** Counts logins and ends: of two entries the one with the higher generation holds. */
  readonly generation: number;
  /** Counts the refreshes within a generation. */
  readonly revision: number;
  readonly session: Session | null;
  readonly ended?: Ending;
}

export const SIGNED_OUT: Entry = { version: 1, generation: 0, revision: 0, session: null };

const LONGEST_RECORD = 65_536;
const TOKEN = /^[\w.-]{1,8192}$/;

/** Rule R4: only letters, digits, dots, hyphens and underscores. */
export function isToken(value: unknown): value is string {
  return typeof value === "string" && TOKEN.test(value);
}

export function isNewer(one: Entry, other: Entry): boolean {
  return (
    one.generation - other.generation > 0 || (one.generation === other.generation && one.revision > other.revision)
  );
}

/** The entry that `text` holds; "newer" when a later version of this package wrote it; undefined when it is corrupted. */
export function parseEntry(text: string): Entry | "newer" | undefined {
  if (text.length > LONGEST_RECORD) return undefined;
  const read = fields(parseJson(text));
  if (isCount(read.version) && read.version > 1) return "newer";
  const { generation, revision } = read;
  if (read.version !== 1 || !isCount(generation) || !isCount(revision)) return undefined;
  const session = read.session === null ? null : parseSession(fields(read.session));
  if (session === undefined) return undefined;
  const ended = read.ended === "expired" ? read.ended : "signed_out";
  return { version: 1, generation, revision, session, ...(!session && { ended }) };
}

function parseSession(read: Fields): Session | undefined {
  const { id, accessToken, refreshToken, idempotencyKey, expiresAt, lifetime, clockOffset } = read;
  const user = parseUser(fields(read.user));
  const isWhole =
    [id, accessToken, refreshToken].every(isToken) &&
    (idempotencyKey === undefined || /^[\w.-]{22,64}$/.test(idempotencyKey as string)) &&
    [expiresAt, lifetime, clockOffset].every(Number.isFinite);
  if (!user || !isWhole) return undefined;
  return { id, user, accessToken, refreshToken, idempotencyKey, expiresAt, lifetime, clockOffset } as Session;
}

export function parseUser(read: Fields): User | undefined {
  if (!isToken(read.id)) return undefined;
  return { id: read.id, email: text(read.email), firstName: text(read.firstName), lastName: text(read.lastName) };
}

export type Fields = Readonly<Record<string, unknown>>;

/** The members of an object; of anything else, none. */
export function fields(value: unknown): Fields {
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}

/** The value of a JSON text; undefined when it is none. */
export function parseJson(json: string): unknown {
  try {
    return JSON.parse(json) as unknown;
  } catch {
    return undefined;
  }
}

function text(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

function isCount(value: unknown): value is number {
  // Far from the largest that can be counted on from.
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 50;
}
