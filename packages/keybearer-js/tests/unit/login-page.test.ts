/** The parts that need no page; the rest is tested in a browser. */
import { afterEach, expect, test, vi } from "vitest";
import { goToLogin, returnAddress } from "../../src/login-page.js";

afterEach(() => {
  vi.unstubAllGlobals();
});

function at(returnTo: string): void {
  vi.stubGlobal("location", new URL(`https://app.example/login?${new URLSearchParams({ returnTo }).toString()}`));
}

test.each(["/notes", "/notes?page=2#last", "/", "/%2F%2Fevil.example", "/login"])(
  "C39: the way back to %s",
  (wanted) => {
    at(wanted);
    expect(returnAddress("/start")).toBe(wanted);
  },
);

test.each([
  "https://evil.example/",
  "//evil.example/",
  "\\\\evil.example/",
  "/\\evil.example/",
  "https:evil.example",
  "https://app.example:444/",
  "http://app.example/",
  "https://app.example@evil.example/",
  "javascript:alert(1)",
  "data:text/html,x",
  "https://[",
  "\t//evil.example",
  "/\t/evil.example",
  "/\n/evil.example/",
])("C39: no way to %j", (wanted) => {
  at(wanted);
  const address = returnAddress("/start");
  expect(new URL(address, "https://app.example").origin).toBe("https://app.example");
});

test.each(["//evil.example/x", "/.//evil.example/x", "/a/..//evil.example/x"])(
  "C39: what %j becomes leads nowhere else when it is followed",
  (path) => {
    at(`https://app.example${path}`);
    expect(new URL(returnAddress(), "https://app.example").origin).toBe("https://app.example");
  },
);

test("without an address to come back to there is the fallback", () => {
  vi.stubGlobal("location", new URL("https://app.example/login"));
  expect(returnAddress()).toBe("/");
  expect(returnAddress("/start")).toBe("/start");
});

test("C42: where there is no page there is neither a way there nor back", () => {
  expect(returnAddress("/start")).toBe("/start");
  expect(() => {
    goToLogin("/login");
  }).not.toThrow();
});
