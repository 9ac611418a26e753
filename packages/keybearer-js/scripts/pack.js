/** The tarball that `npm publish` would upload, freshly built. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));

/**
 * Builds and packs into `folder`.
 *
 * @param {string} folder
 * @returns {string} the path of the tarball
 */
export function pack(folder) {
  const printed = execFileSync("npm", ["pack", "--silent", "--pack-destination", folder], {
    cwd: PACKAGE,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  const name = printed.trim().split("\n").at(-1) ?? "";
  return join(folder, name);
}
