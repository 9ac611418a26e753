/**
 * `npm run bench`: what an attached interceptor adds to a request, in microseconds. Two instances of axios with an adapter
 * that answers at once, one of them attached to a client that is signed in; in turns, and the medians are compared.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const MOST = 20;
const ROUNDS = 41;
const REQUESTS = 1_000;
const API = "http://localhost:8200";

/** @typedef {import("axios").AxiosInstance} AxiosInstance */
/** @typedef {{ axios: import("axios").AxiosStatic, createKeybearer: typeof import("../src/axios.js").createKeybearer }} Package */

/** As a user's bundler makes it of the package and axios. */
async function load() {
  const folder = mkdtempSync(join(tmpdir(), "keybearer-bench-"));
  const outfile = join(folder, "package.mjs");
  try {
    await build({
      stdin: {
        contents: 'export { default as axios } from "axios"; export { createKeybearer } from "./src/axios.ts";',
        resolveDir: fileURLToPath(new URL("..", import.meta.url)),
      },
      outfile,
      bundle: true,
      platform: "node",
      format: "esm",
      banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
    });
    /** @type {Package} */
    const loaded = await import(pathToFileURL(outfile).href);
    return loaded;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A storage that answers at once, as localStorage does. */
function createStorage() {
  /** @type {Map<string, string>} */
  const records = new Map();
  return {
    getItem: (/** @type {string} */ key) => records.get(key) ?? null,
    setItem: (/** @type {string} */ key, /** @type {string} */ text) => void records.set(key, text),
    removeItem: (/** @type {string} */ key) => void records.delete(key),
  };
}

/** What the service answers to a login; the tokens are as long as real ones. */
function session() {
  const tokens = { accessToken: "a".repeat(600), refreshToken: `kbr_${"r".repeat(120)}`, expiresIn: 900 };
  return Response.json({ data: { id: "u", type: "session", attributes: { ...tokens, sessionId: "s" } } });
}

/** @param {Package} of */
async function createInstances({ axios, createKeybearer }) {
  /** @type {import("axios").AxiosAdapter} */
  const adapter = (config) => Promise.resolve({ data: "{}", status: 200, statusText: "OK", headers: {}, config });
  const [bare, attached] = [axios.create({ adapter }), axios.create({ adapter })];
  const keybearer = createKeybearer({
    baseURL: "http://localhost:8100/v1/api",
    apiKey: "kbp_x",
    origins: [API],
    storage: createStorage(),
    fetch: () => Promise.resolve(session()),
  });
  await keybearer.login("user@example.com", "x");
  keybearer.attach(attached);
  return { bare, attached };
}

/**
 * Microseconds per request, of the processor's time: other programs take none of it.
 *
 * @param {AxiosInstance} instance
 */
async function time(instance) {
  const started = process.cpuUsage();
  for (let sent = 0; sent < REQUESTS; sent += 1) await instance.get(`${API}/notes`, { params: { page: 1 } });
  const { user, system } = process.cpuUsage(started);
  return (user + system) / REQUESTS;
}

/** @param {number[]} values */
function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

const { bare, attached } = await createInstances(await load());
/** @type {Record<"bare" | "attached", number[]>} */
const taken = { bare: [], attached: [] };
for (let round = -3; round < ROUNDS; round += 1) {
  const [one, other] = [await time(bare), await time(attached)];
  if (round < 0) continue; // Until the code is compiled.
  taken.bare.push(one);
  taken.attached.push(other);
}
const [without, including] = [median(taken.bare), median(taken.attached)];
const added = including - without;
process.stdout.write(
  `A request through axios: ${without.toFixed(1)} us bare, ${including.toFixed(1)} us attached. ` +
    `The interceptor adds ${added.toFixed(1)} us; ${MOST} us at most.\n`,
);
process.exitCode = added <= MOST ? 0 : 1;
