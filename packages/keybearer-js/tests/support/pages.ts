/** Pages for the tests in a browser: a TypeScript file becomes a page that the stage can serve. */
import { mkdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { build, type BuildOptions } from "esbuild";

export interface PageOptions {
  /** Replaced in the source, as a define plugin does: expression to the value that it stands for. */
  readonly define?: Readonly<Record<string, string>>;
  /** The version of axios that the page is bundled with. */
  readonly axios?: "newest" | "oldest";
}

/**
 * Bundles `source` into `folder` and writes the page that runs it; returns the page's path, `/NAME.html`. The page has
 * no script or style of its own, so that it works under a strict Content-Security-Policy.
 */
export async function writePage(source: string, folder: string, options: PageOptions = {}): Promise<string> {
  const name = basename(source).replace(/\.tsx?$/, options.axios === "oldest" ? "-axios-oldest" : "");
  mkdirSync(folder, { recursive: true });
  await build(bundling(source, join(folder, `${name}.js`), options));
  writeFileSync(
    join(folder, `${name}.html`),
    `<!doctype html><html lang="en"><meta charset="utf-8"><title>${name}</title><div id="root"></div>` +
      `<script type="module" src="${name}.js"></script></html>\n`,
  );
  return `/${name}.html`;
}

function bundling(source: string, outfile: string, { define = {}, axios = "newest" }: PageOptions): BuildOptions {
  const replaced = Object.entries(define).map(([name, value]) => [name, JSON.stringify(value)] as const);
  return {
    entryPoints: [source],
    outfile,
    bundle: true,
    format: "esm",
    target: "es2022",
    jsx: "automatic",
    sourcemap: "inline",
    define: { "process.env.NODE_ENV": '"production"', ...Object.fromEntries(replaced) },
    alias: axios === "oldest" ? { axios: "axios-oldest" } : {},
  };
}
