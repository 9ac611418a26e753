/** The system's Chromium, driven by playwright-core. It asks nobody outside this machine for anything. */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { chromium, type Browser } from "playwright-core";

/** The browser's path: KEYBEARER_CHROMIUM, or `chromium` of PATH. */
export function findChromium(): string {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const named = process.env.KEYBEARER_CHROMIUM;
  const candidates = named ? [named] : folders.map((folder) => join(folder, "chromium"));
  const found = candidates.find(isExecutable);
  if (found) return found;
  throw new Error(
    named
      ? `KEYBEARER_CHROMIUM is ${named}, which is no program.`
      : "No Chromium found. As root: apt-get install chromium. Or name another build of it: KEYBEARER_CHROMIUM=/path/to/chrome.",
  );
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The arguments of every start. */
export const ARGUMENTS: readonly string[] = [
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-quic",
  "--disable-sync",
  "--no-first-run",
  ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
];

/**
 * A browser. Each of its contexts (`newContext`) is a profile of its own that is gone when it is closed. Its pages are
 * all visible and in front, whatever else is open; where that matters, take `openProfile`.
 */
export function launchChromium(): Promise<Browser> {
  return chromium.launch({ executablePath: findChromium(), args: [...ARGUMENTS] });
}
