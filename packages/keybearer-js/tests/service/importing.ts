/** Imports every entry in surroundings that tell what is touched. The peers, which look around, are there before. */
import axios from "axios";
import { version } from "react";

const touched: string[] = [];
process.stdout.write(`axios ${axios.VERSION}, react ${version}, `);

function trap(name: string): unknown {
  return new Proxy(
    {},
    {
      get: (_, member) => touched.push(`${name}.${String(member)}`),
      has: (_, member) => touched.push(`${String(member)} in ${name}`) > 0,
      set: (_, member) => touched.push(`${name}.${String(member)} =`) > 0,
    },
  );
}

for (const name of ["window", "document", "location", "navigator", "localStorage", "sessionStorage"]) {
  Object.defineProperty(globalThis, name, { value: trap(name) });
}
for (const name of ["setTimeout", "setInterval", "addEventListener", "fetch"]) {
  Object.defineProperty(globalThis, name, { value: () => touched.push(name) });
}

await import("../../src/index.js");
await import("../../src/axios.js");
await import("../../src/fetch.js");
await import("../../src/react.js");
await import("../../src/codes.js");
process.stdout.write(`touched: ${JSON.stringify(touched)}\n`);
