/** Where the two credentials may go: origins named in the configuration, and nowhere else. */

import { ConfigurationError } from "./errors.js";

const LOOPBACK = /^(localhost|.+\.localhost|127(\.\d+){3}|\[::1\])$/;

/** The origin that `text` names. Plain HTTP is refused beyond loopback, unless `insecure` names the origin. */
export function checkedOrigin(text: string, insecure: readonly string[] = []): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new ConfigurationError(`Not an absolute URL: "${text}".`);
  }
  if (url.protocol === "https:") return url;
  const isAllowed = LOOPBACK.test(url.hostname) || insecure.some((other) => new URL(other).origin === url.origin);
  if (url.protocol !== "http:" || !isAllowed) {
    throw new ConfigurationError(
      `${url.origin} is not HTTPS: credentials would travel in clear. To allow that, name it in insecureOrigins.`,
    );
  }
  return url;
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
