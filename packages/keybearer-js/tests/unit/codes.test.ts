/** The catalogue of codes is the service's: it stands in its documents. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { STATUS_OF_CODE } from "../../src/codes.js";

interface Operation {
  readonly responses?: Readonly<Record<string, { readonly "x-codes"?: readonly string[] }>>;
}

function document(name: string): string {
  return readFileSync(new URL(`../../../../docs/${name}`, import.meta.url), "utf8");
}

test("every code stands in docs/errors.md under its status, and no other does", () => {
  const documented: Record<string, number> = {};
  for (const section of document("errors.md").split(/^## /m).slice(1)) {
    const status = Number(section.slice(0, 3));
    for (const [, code] of section.matchAll(/^\| `([a-z_]+)` \|/gm)) documented[code!] = status;
  }
  expect(STATUS_OF_CODE).toEqual(documented);
});

test("every code that an operation answers has its status in openapi.json", () => {
  const { paths } = JSON.parse(document("openapi.json")) as { paths: Record<string, Record<string, Operation>> };
  const named = new Map<string, number>();
  for (const operation of Object.values(paths).flatMap((path) => Object.values(path))) {
    for (const [status, answer] of Object.entries(operation.responses ?? {})) {
      for (const code of answer["x-codes"] ?? []) named.set(code, Number(status));
    }
  }
  expect(named.size).toBeGreaterThan(20);
  expect(STATUS_OF_CODE).toMatchObject(Object.fromEntries(named));
});
