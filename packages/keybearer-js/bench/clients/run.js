/** `make bench-clients`: runs main.ts, which is TypeScript; Node 20 loads none. */
import { fileURLToPath } from "node:url";
import { runnerImport } from "vite";

process.env.NODE_ENV = "production"; // as users run it: without the warnings for developers
const entry = fileURLToPath(new URL("main.ts", import.meta.url));
/** @type {{ module: typeof import("./main.js") }} */
const { module } = await runnerImport(entry, { configFile: false, logLevel: "error" });
await module.main(process.argv.slice(2));
