import { defineConfig } from "vitest/config";

const UNIT = "tests/unit/**/*.test.{ts,tsx}";
const BUILDS = "tests/builds/**/*.test.ts";

/** `stage` has every test that is of no other project: none is left out for where it stands. */
export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      { extends: true, test: { name: "unit", include: [UNIT] } },
      {
        extends: true,
        test: {
          name: "stage",
          include: ["tests/**/*.test.{ts,tsx}"],
          exclude: [UNIT, BUILDS],
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        extends: true,
        test: {
          name: "builds",
          include: [BUILDS],
          globalSetup: "tests/builds/project.ts",
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      "../../examples/react-app/vitest.config.ts",
    ],
  },
});
