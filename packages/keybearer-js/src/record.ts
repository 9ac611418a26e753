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

const LONGEST_RECORD = 100_000;
const TOKEN = /^[\w.-]{1,8192}$/;

/** Rule R4: only letters, digits, dots, hyphens and underscores. */
export function isToken(value: unknown): value is string {
  return typeof value === "string" && TOKEN.test(value);
}

/** Above 0 when `one` is the newer; 0 when nothing has happened between them. */
export function compare(one: Entry, other: Entry): number {
  return one.generation - other.generation || one.revision - other.revision;
}

/** The entry that `text` holds; "newer" when a later version of this package wrote it; undefined when it is corrupted. */
export function parseEntry(text: string): Entry | "newer" | undefined {
  if (text.length > LONGEST_RECORD) return undefined;
  const { version, generation, revision, session, ended } = fields(parseJson(text));
  if (isCount(version) && version > 1) return "newer";
  const held = session === null ? null : parseSession(fields(session));
  if (version !== 1 || !isCount(generation) || !isCount(revision) || held === undefined) return undefined;
  const end = ended === "expired" ? ended : "signed_out";
  return { version, generation, revision, session: held, ...(!held && { ended: end }) };
}

/** The session whose members `read` has; undefined when one is missing or malformed. Other members are not taken over. */
export function parseSession(read: Fields): Session | undefined {
  const { id, user, accessToken, refreshToken, idempotencyKey, expiresAt, lifetime, clockOffset } = read;
  const { id: userId, email, firstName, lastName } = fields(user);
  const isWhole =
    [id, userId, accessToken, refreshToken].every(isToken) &&
    (idempotencyKey === undefined || /^[\w.-]{22,64}$/.test(idempotencyKey as string)) &&
    [expiresAt, lifetime, clockOffset].every(Number.isFinite) &&
    (lifetime as number) > 0;
  if (!isWhole) return undefined;
  const known = { id: userId, email: text(email), firstName: text(firstName), lastName: text(lastName) };
  return { id, user: known, accessToken, refreshToken, idempotencyKey, expiresAt, lifetime, clockOffset } as Session;
}

export type Fields = Readonly<Record<string, unknown>>;

/** The members of an object; of anything else, none. */
export function fields(value: unknown): Fields {
  return Object(value) as Fields;
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

export function isCount(value: unknown): value is number {
  // Far from the largest that can be counted on from.
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 50;
}
