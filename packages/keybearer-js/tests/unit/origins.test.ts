import { expect, test } from "vitest";
import { createKeybearer } from "../../src/fetch.js";
import { checkedOrigin } from "../../src/origins.js";

test.each([
  "https://auth.example.com",
  "http://localhost:8100/v1/api",
  "http://app.localhost",
  "http://127.0.0.1:8100",
  "http://127.1.2.3",
  "http://[::1]:8100",
  "http://2130706433:8100", // 127.0.0.1
])("C38: credentials may go to %s", (url) => {
  expect(checkedOrigin(url).origin).toBe(new URL(url).origin);
});

test.each([
  "http://auth.example.com",
  "http://localhost.evil.example",
  "http://127.0.0.1.evil.example",
  "http://evil.example#localhost",
  "http://localhost@evil.example",
  "http://0.0.0.0:8100",
  "http://[::]:8100",
  "http://192.168.0.1",
  "ftp://auth.example.com",
  "ws://localhost",
  "data:,x",
  "javascript:void 0",
  "auth.example.com",
  "//auth.example.com",
  "/v1/api",
  "",
])("C38: %j is refused", (url) => {
  expect(() => checkedOrigin(url)).toThrow(expect.objectContaining({ code: "configuration" }));
});

test("C38: an origin is allowed by name, and that one only", () => {
  const insecure = ["http://auth.example.com:8100/v1/api"];
  expect(checkedOrigin("http://auth.example.com:8100", insecure).hostname).toBe("auth.example.com");
  expect(() => checkedOrigin("http://auth.example.com", insecure)).toThrow();
  expect(() => checkedOrigin("http://sub.auth.example.com:8100", insecure)).toThrow();
  expect(() => checkedOrigin("ftp://auth.example.com:8100", insecure)).toThrow();
});

test("C38: both the service's and the other origins are checked when a client is made", () => {
  const options = { baseURL: "https://auth.example.com/v1/api", apiKey: "kbp_x" };
  const configuration: unknown = expect.objectContaining({ code: "configuration" });
  expect(() => createKeybearer({ ...options, baseURL: "http://auth.example.com" })).toThrow(configuration);
  expect(() => createKeybearer({ ...options, origins: ["http://api.example.com"] })).toThrow(configuration);
  const insecureOrigins = ["http://api.example.com"];
  expect(createKeybearer({ ...options, origins: insecureOrigins, insecureOrigins }).session.status).toBe("signedOut");
});
