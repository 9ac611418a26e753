import { expect, test } from "vitest";
import { compare, isToken, parseEntry, SIGNED_OUT, type Entry } from "../../src/record.js";

const ENTRY: Entry = {
  version: 1,
  generation: 3,
  revision: 2,
  session: {
    id: "s-1",
    user: { id: "u-1", email: "user@example.com", firstName: "Jane", lastName: null },
    accessToken: "a.b_c-d",
    refreshToken: "kbr_x",
    idempotencyKey: "1234567-1234567-1234567-1",
    expiresAt: 1_800_000_000_000,
    lifetime: 900_000,
    clockOffset: -250.5,
  },
};

test("what was stored is read back", () => {
  expect(parseEntry(JSON.stringify(ENTRY))).toEqual(ENTRY);
  const session = { ...ENTRY.session!, idempotencyKey: undefined };
  expect(parseEntry(JSON.stringify({ ...ENTRY, session }))).toEqual({ ...ENTRY, session });
  for (const ended of ["expired", "signed_out"] as const) {
    expect(parseEntry(JSON.stringify({ ...SIGNED_OUT, generation: 4, ended }))).toEqual({
      ...SIGNED_OUT,
      generation: 4,
      ended,
    });
  }
});

test("C33: unknown members of any depth are not taken over", () => {
  const text = JSON.stringify({
    ...ENTRY,
    more: 1,
    session: { ...ENTRY.session, user: { ...ENTRY.session!.user, x: 1 } },
  });
  expect(parseEntry(text)).toEqual(ENTRY);
});

test("C35: members named as those of every object are not taken for its own", () => {
  const record = `{"version":1,"generation":1,"revision":0,"session":null,"__proto__":{"polluted":1},"constructor":1}`;
  expect(parseEntry(record)).toMatchObject({ generation: 1, session: null });
  expect({}).not.toHaveProperty("polluted");
  expect(parseEntry('{"__proto__":{"version":1,"generation":1,"revision":0,"session":null}}')).toBeUndefined();
});

test("C35: every beginning of a record is corrupted, and so is the record with anything behind it", () => {
  const text = JSON.stringify(ENTRY);
  for (let length = 0; length < text.length; length += 1) {
    expect(parseEntry(text.slice(0, length)), text.slice(0, length)).toBeUndefined();
  }
  expect(parseEntry(`${text}}`)).toBeUndefined();
});

test.each([
  [2, { tokens: "elsewhere" }],
  [99, null],
])("a record of version %s is of a newer version, whatever its session is", (version, session) => {
  expect(parseEntry(JSON.stringify({ version, session }))).toBe("newer");
});

test("R4: a token is letters, digits, dots, hyphens and underscores, up to 8 KiB", () => {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_";
  for (let code = 0; code < 0x250; code += 1) {
    const char = String.fromCharCode(code);
    expect(isToken(`a${char}b`), JSON.stringify(char)).toBe(alphabet.includes(char));
    expect(isToken(char)).toBe(alphabet.includes(char));
  }
  for (const value of ["", "a\n", "\na", "a\u2028", "x".repeat(8193), 7, null, undefined, ["a"]]) {
    expect(isToken(value)).toBe(false);
  }
  expect(isToken("x".repeat(8192))).toBe(true);
});

test("of two entries the one with the higher generation is newer; within a generation, with the higher revision", () => {
  const at = (generation: number, revision: number): Entry => ({ ...SIGNED_OUT, generation, revision });
  expect(compare(at(2, 0), at(1, 9))).toBeGreaterThan(0);
  expect(compare(at(1, 9), at(2, 0))).toBeLessThan(0);
  expect(compare(at(1, 2), at(1, 1))).toBeGreaterThan(0);
  expect(compare(at(1, 1), at(1, 1))).toBe(0);
});
