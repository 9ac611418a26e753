/**
 * Makes dist/ anew: each entry as an ES module and as CommonJS, with types beside it. What entries share is in chunks of
 * its own, so that a program that imports two of them has one core. `process.env.REACT_APP_AUTH_API_KEY` stays as it is
 * written: the user's bundler puts the key there.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))));

const manifest = /** @type {{ exports: Record<string, unknown>, peerDependencies: Record<string, string> }} */ (
  JSON.parse(readFileSync("package.json", "utf8"))
);
const subpaths = Object.keys(manifest.exports).filter((subpath) => subpath !== "./package.json");
const entries = subpaths.map((subpath) => (subpath === "." ? "index" : subpath.slice(2)));

rmSync("dist", { recursive: true, force: true });
await writeCode();
writeTypes();
copyFileSync("../../LICENSE", "LICENSE");

async function writeCode() {
  const bundle = await rolldown({
    input: Object.fromEntries(entries.map((entry) => [entry, `src/${entry}.ts`])),
    external: new RegExp(`^(${Object.keys(manifest.peerDependencies).join("|")})(/|$)`),
    platform: "neutral",
    transform: { target: "es2020" },
    onLog(_level, log) {
      throw new Error(log.message);
    },
  });
  /** @type {import("rolldown").OutputOptions} */
  const output = { entryFileNames: "[name].js", chunkFileNames: "shared-[hash].js" };
  await bundle.write({ ...output, dir: "dist/esm", format: "es" });
  await bundle.write({ ...output, dir: "dist/cjs", format: "cjs" });
  await bundle.close();
}

/** The text of a declaration is the same for both kinds of module; the nearest package.json says which it is. */
function writeTypes() {
  const tsc = fileURLToPath(import.meta.resolve("typescript/bin/tsc"));
  const { status } = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], { stdio: ["ignore", 2, 2] });
  if (status !== 0) throw new Error("The types were not written: see what tsc says above.");
  cpSync("dist/esm", "dist/cjs", { recursive: true, filter: (source) => !source.endsWith(".js") });
  writeFileSync("dist/cjs/package.json", `${JSON.stringify({ type: "commonjs" })}\n`);
}
