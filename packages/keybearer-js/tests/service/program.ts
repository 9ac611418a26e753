/** A program that logs in, is refreshed, sends requests, and comes to its end. What it needs is its argument. */
import axios from "axios";
import { createKeybearer } from "../../src/axios.js";
import { createKeybearer as createFetchKeybearer } from "../../src/fetch.js";
import type { Description, StageUser } from "../support/stage.js";

type Given = Description & { readonly user: StageUser; readonly end: string };

const { baseURL, publishableKey, api, user, end } = JSON.parse(process.argv[2] ?? "") as Given;
const options = { baseURL, apiKey: publishableKey, origins: [api] };

const withAxios = createKeybearer(options);
withAxios.attach(axios);
await withAxios.login(user.username, user.password);
await withAxios.refresh();
const first = await axios.get(`${api}/notes`, { timeout: 30_000 });

const withFetch = createFetchKeybearer(options);
await withFetch.login(user.username, user.password);
const second = await withFetch.fetch(`${api}/notes`, { signal: AbortSignal.timeout(30_000) });

if (end === "dispose") {
  withAxios.dispose();
  withFetch.dispose();
}
process.stdout.write(`${first.status} ${second.status} ${end}\n`);
