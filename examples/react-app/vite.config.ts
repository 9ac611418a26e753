import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** What the build puts into the page; the addresses are those of `make demo` unless the environment has others. */
function settings(): Record<string, string> {
  const {
    REACT_APP_AUTH_API_KEY,
    REACT_APP_AUTH_URL = "http://127.0.0.1:8100/v1/api",
    REACT_APP_API_URL = "http://127.0.0.1:8200",
  } = process.env;
  if (!REACT_APP_AUTH_API_KEY) throw new Error("Set REACT_APP_AUTH_API_KEY to the application's publishable key.");
  return { REACT_APP_AUTH_API_KEY, REACT_APP_AUTH_URL, REACT_APP_API_URL };
}

export default defineConfig({
  plugins: [react()],
  define: Object.fromEntries(
    Object.entries(settings()).map(([name, value]) => [`process.env.${name}`, JSON.stringify(value)]),
  ),
  build: { assetsInlineLimit: 0 }, // a strict Content-Security-Policy refuses data: addresses
  server: { host: "127.0.0.1", port: 5173, strictPort: true }, // the origin that the demo's application allows
});
