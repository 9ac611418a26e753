import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freeze, openProfile, type Profile } from "./profile.js";

declare global {
  interface Window {
    seen: string[];
  }
}

let server: Server;
let url: string;
let profile: Profile;

beforeAll(async () => {
  server = createServer((_request, response) => {
    response.setHeader("Content-Type", "text/html").end("<!doctype html><title>tab</title>");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  profile = await openProfile();
});

afterAll(async () => {
  await profile.close();
  server.closeAllConnections();
  server.close();
});

test("a hidden tab is frozen and thawed, and one in front is not", async () => {
  const first = await profile.openTab(url);
  await first.evaluate(() => {
    window.seen = [];
    for (const name of ["visibilitychange", "freeze", "resume"]) {
      document.addEventListener(name, () => window.seen.push(name));
    }
  });
  const second = await profile.openTab(url);
  await expect(freeze(second)).rejects.toThrow("in front");
  const frozen = await freeze(first);
  await frozen.thaw();
  await first.bringToFront();
  await first.waitForFunction(() => !document.hidden);
  expect(await first.evaluate(() => window.seen)).toEqual(["visibilitychange", "freeze", "resume", "visibilitychange"]);
});

test("tabs share what the profile stores, and a restart keeps it", async () => {
  const [first, second] = [await profile.openTab(url), await profile.openTab(url)];
  await first.evaluate(() => {
    localStorage.setItem("kept", "yes");
  });
  expect(await second.evaluate(() => localStorage.getItem("kept"))).toBe("yes");
  await profile.restart();
  const third = await profile.openTab(url);
  expect(await third.evaluate(() => localStorage.getItem("kept"))).toBe("yes");
});
