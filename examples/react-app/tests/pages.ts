/** The code of the documentation, as somebody's project. */
import { mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const REPOSITORY = fileURLToPath(new URL("../../..", import.meta.url));

/** A file of a page: its name stands in its first line. */
const BLOCK = /^```tsx?\n\/\/ ([\w.-]+)\n(.*?)^```$/gms;

/** The files of a page, by their names. */
export function filesOf(page: string): Map<string, string> {
  const text = readFileSync(join(REPOSITORY, page), "utf8");
  return new Map([...text.matchAll(BLOCK)].map(([, name = "", code = ""]) => [name, code]));
}

/** A new folder with these files, in which the package is installed. */
export function makeProject(files: Iterable<[string, string]>): string {
  const folder = mkdtempSync(join(tmpdir(), "keybearer-page-"));
  symlinkSync(join(REPOSITORY, "node_modules"), join(folder, "node_modules"));
  for (const [name, code] of files) writeFileSync(join(folder, name), code);
  return folder;
}
