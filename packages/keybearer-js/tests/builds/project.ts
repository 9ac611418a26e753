/** A user's project: the packed tarball installed as npm does it, beside the peers. Made once for all tests of builds. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";
import { pack } from "../../scripts/pack.js";

declare module "vitest" {
  interface ProvidedContext {
    /** The project's folder. */
    userProject: string;
  }
}

const FIXTURES = fileURLToPath(new URL("fixtures", import.meta.url));
const INSTALLED = fileURLToPath(new URL("../../../../node_modules", import.meta.url));
const PEERS = ["axios", "react", "@types/react"];

export default function setup(project: TestProject): () => void {
  const folder = mkdtempSync(join(tmpdir(), "keybearer-user-"));
  const remove = (): void => {
    rmSync(folder, { recursive: true });
  };
  try {
    furnish(folder);
  } catch (error) {
    remove();
    throw error;
  }
  project.provide("userProject", folder);
  return remove;
}

function furnish(folder: string): void {
  cpSync(FIXTURES, folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), `${JSON.stringify({ private: true })}\n`);
  execFileSync("npm", ["install", "--silent", "--offline", "--no-package-lock", pack(folder)], { cwd: folder });
  for (const peer of PEERS) linkPeer(folder, peer);
}

/** No network: the peers are those of this repository, each with its own dependencies beside it. */
function linkPeer(folder: string, peer: string): void {
  const link = join(folder, "node_modules", peer);
  mkdirSync(dirname(link), { recursive: true });
  symlinkSync(join(INSTALLED, peer), link, "dir");
}
