/** `keybearer`: tokens, storage, the single refresh, events. With requests beside them: `keybearer/axios`, `keybearer/fetch`. */

import { createParts, type Core, type CoreOptions } from "./core.js";

/** The core alone, for a transport of one's own. */
export function createKeybearer(options: CoreOptions): Core {
  return createParts(options).core;
}

export * from "./public.js";
