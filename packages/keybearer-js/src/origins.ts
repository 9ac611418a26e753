/** Where the two credentials may go: origins named in the configuration, and nowhere else. */

import { ConfigurationError } from "./errors.js";

// HTTPS, or loopback: of an origin, whose IPv4 address is always written out.
const SAFE = /^https:|^http:\/\/((.+\.)?localhost|127\.[\d.]+|\[::1])(:\d+)?$/;

/** The URL that `text` is. Plain HTTP is refused beyond loopback, unless `insecure` names its origin. */
export function checkedOrigin(text: string, insecure: readonly string[] = []): URL {
  const url = parsed(text);
  const isNamed = url?.protocol === "http:" && insecure.some((other) => parsed(other)?.origin === url.origin);
  if (url && (isNamed || SAFE.test(url.origin))) return url;
  // What is no URL is not shown: it may be a key in the wrong place.
  const what = url?.origin ?? "A URL";
  throw new ConfigurationError(`${what} is not HTTPS. Use https://, or name it in insecureOrigins.`);
}

function parsed(text: string): URL | undefined {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}

/** Tells a developer once for each origin that requests to it go out bare; silent in production builds. */
export function createBareWarning(): (origin: string) => void {
  const told = new Set<string>();
  return (origin) => {
    if (told.has(origin) || told.size > 100 || isProduction()) return;
    told.add(origin);
    console.warn(`keybearer: ${origin} is not among "origins": requests to it carry no credentials.`);
  };
}

// Bundlers replace the expression below literally; where nothing did, there may be no `process`.
function isProduction(): boolean {
  try {
    return process.env.NODE_ENV === "production";
  } catch {
    return false;
  }
}
