import { defineConfig } from "vitest/config";

/** `npm run screenshots`: takes them anew. Needs Chromium and pngquant (Debian: apt-get install chromium pngquant). */
export default defineConfig({
  test: { include: ["screenshots/*.ts"], testTimeout: 300_000, hookTimeout: 300_000 },
});
