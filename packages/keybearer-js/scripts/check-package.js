/** What npm would publish is checked as a user gets it: its manifest by publint, its types by attw. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pack } from "./pack.js";

const folder = mkdtempSync(join(tmpdir(), "keybearer-pack-"));
try {
  const tarball = pack(folder);
  const passed = [
    run("publint", "--strict", tarball),
    // node10 knows no `exports`, and so no subpaths; whoever still resolves like it uses a bundler that does.
    run("attw", "--profile", "node16", "--no-definitely-typed", "--no-summary", "--format", "ascii", tarball),
  ];
  if (passed.includes(false)) process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true });
}

/**
 * Says whether the command succeeds; what it prints is shown only when it does not.
 *
 * @param {string} command
 * @param {...string} argv
 */
function run(command, ...argv) {
  const { status, stdout, stderr } = spawnSync("npm", ["exec", "--no", "--", command, ...argv], { encoding: "utf8" });
  if (status !== 0) console.error(`${stdout}${stderr}`);
  return status === 0;
}
