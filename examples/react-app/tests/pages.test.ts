/** The code of the documentation compiles, and the package's README names everything. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { expect, onTestFinished, test } from "vitest";
import { filesOf, makeProject, REPOSITORY } from "./pages.js";

const PAGES = [
  "packages/keybearer-js/README.md",
  "docs/integrations/axios.md",
  "docs/integrations/fetch.md",
  "docs/integrations/react.md",
];

const SOURCES = join(REPOSITORY, "packages", "keybearer-js", "src");

test.each(PAGES)("%s: its code compiles", (page) => {
  const files = filesOf(page);
  expect(files.size).toBeGreaterThan(1);
  const folder = makeProject(files);
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const program = ts.createProgram({
    rootNames: [...files.keys()].map((name) => join(folder, name)),
    options: {
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      jsx: ts.JsxEmit.ReactJSX,
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.ESNext,
      moduleResolution: ts.ModuleResolutionKind.Bundler,
      paths: { keybearer: [join(SOURCES, "index.ts")], "keybearer/*": [join(SOURCES, "*.ts")] },
      types: ["node"],
      typeRoots: [join(REPOSITORY, "node_modules", "@types")],
    },
  });
  const told = ts.getPreEmitDiagnostics(program).map(({ messageText }) => messageText);
  expect(told).toEqual([]);
});

const NAMED = [
  ["core.ts", "CoreOptions"],
  ["core.ts", "Core"],
  ["client.ts", "KeybearerOptions"],
  ["client.ts", "Keybearer"],
  ["events.ts", "KeybearerEvents"],
] as const;

/** The members that an interface has of its own. */
function membersOf(file: string, name: string): string[] {
  const source = ts.createSourceFile(file, readFileSync(join(SOURCES, file), "utf8"), ts.ScriptTarget.ES2023);
  const found = source.statements.find((one) => ts.isInterfaceDeclaration(one) && one.name.text === name);
  if (!found) throw new Error(`${file} has no interface ${name}.`);
  return (found as ts.InterfaceDeclaration).members.map((member) => (member.name as ts.Identifier).text);
}

test.each(NAMED)("the README of the package names what %s has in %s", (file, name) => {
  const text = readFileSync(join(REPOSITORY, "packages/keybearer-js/README.md"), "utf8");
  const missing = membersOf(file, name).filter((member) => !new RegExp(`\`${member}[(\`]`).test(text));
  expect(missing).toEqual([]);
});
