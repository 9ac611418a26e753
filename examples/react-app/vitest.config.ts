import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    name: "example",
    include: ["tests/**/*.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 300_000,
  },
});
