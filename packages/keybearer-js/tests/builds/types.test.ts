import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, inject, test } from "vitest";

const TSC = fileURLToPath(import.meta.resolve("typescript/bin/tsc"));

const STRICT = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noEmit: true,
  target: "es2022",
  lib: ["es2022", "dom", "dom.iterable"],
  types: [],
};

/** The libraries' own types are checked as well, so that a declaration of ours that is wrong by itself is seen. */
test.each([
  ["an ES module in Node", { module: "nodenext" }, ["user.mts"]],
  ["CommonJS in Node", { module: "nodenext" }, ["user.cts"]],
  ["an ES module in Node 16", { module: "node16" }, ["user.mts"]],
  ["a bundler", { module: "esnext", moduleResolution: "bundler", jsx: "react-jsx" }, ["user.mts", "user.tsx"]],
])("types resolve for %s", (name, options, files) => {
  const config = join(inject("userProject"), `tsconfig.${name.replaceAll(" ", "-")}.json`);
  writeFileSync(config, JSON.stringify({ compilerOptions: { ...STRICT, ...options }, files }));
  const { stdout } = spawnSync(process.execPath, [TSC, "-p", config], { encoding: "utf8" });
  expect(stdout).toBe("");
});
