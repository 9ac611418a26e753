import type { Transport } from "./program.page.js";

export const TRANSPORTS: readonly Transport[] = ["axios-xhr", "axios-fetch", "fetch"];
