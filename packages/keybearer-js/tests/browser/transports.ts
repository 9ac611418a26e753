/** Whatever a program in a browser can send by; most tests run by each. */
import type { Transport } from "./program.page.js";

export const TRANSPORTS: readonly Transport[] = ["axios-xhr", "axios-fetch", "fetch"];
