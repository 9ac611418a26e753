import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { expect, inject, test } from "vitest";

const installed = join(inject("userProject"), "node_modules/keybearer");

test.each(["esm", "cjs"])("%s holds the expression for the key as bundlers look for it", (format) => {
  const folder = join(installed, "dist", format);
  const code = readdirSync(folder).filter((name) => name.endsWith(".js"));
  const holding = code.filter((name) =>
    readFileSync(join(folder, name), "utf8").includes("process.env.REACT_APP_AUTH_API_KEY"),
  );
  expect(holding).toHaveLength(1);
});

test("who imports it and uses nothing gets nothing", async () => {
  const entries = ["keybearer", "keybearer/axios", "keybearer/fetch", "keybearer/react", "keybearer/codes"];
  const { outputFiles } = await build({
    stdin: { contents: entries.map((entry) => `import "${entry}";`).join(""), resolveDir: inject("userProject") },
    bundle: true,
    format: "esm",
    write: false,
    logLevel: "error",
    logOverride: { "ignored-bare-import": "silent" },
  });
  expect(outputFiles[0]?.text.trim()).toBe("");
});

test("the tarball holds what is used, the license, and what to read", () => {
  const expected = new Set(["LICENSE", "README.md", "dist", "package.json"]);
  expect(readdirSync(installed).filter((name) => !expected.has(name))).toEqual([]);
  expect(readFileSync(join(installed, "LICENSE"), "utf8")).toContain("Apache License");
});
