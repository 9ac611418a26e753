/** Where the two credentials may go: origins named in the configuration, and nowhere else. */

import { ConfigurationError } from "./errors.js";

const LOOPBACK = /^(localhost|.+\.localhost|127(\.\d+){3}|\[::1\])$/;

/** The URL that `text` is. Plain HTTP is refused beyond loopback, unless `insecure` names its origin. */
export function checkedOrigin(text: string, insecure: readonly string[] = []): URL {
  const url = parsed(text);
  const isAllowed = LOOPBACK.test(url.hostname) || insecure.some((other) => parsed(other).origin === url.origin);
  if (url.protocol === "https:" || (url.protocol === "http:" && isAllowed)) return url;
  throw new ConfigurationError(
    `${url.origin} is not HTTPS: credentials would travel in clear. To allow that, name it in insecureOrigins.`,
  );
}

function parsed(text: string): URL {
  try {
    return new URL(text);
  } catch {
    // Without the text: it may be a key in the wrong place.
    throw new ConfigurationError("A URL of the options is not absolute. Write it with https:// and the host.");
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
