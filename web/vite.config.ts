import react from "@vitejs/plugin-react";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [react()],
  // Relative: Legato may be mounted under any path.
  base: "./",
  resolve: { alias: { "legato-client": fileURLToPath(new URL("./src/wire/index.ts", import.meta.url)) } },
  build: {
    outDir: "../src/legato/web/dist",
    emptyOutDir: true,
    // No data: addresses, which the policy of the page refuses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2023",
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8321" } },
  test: { include: ["src/**/*.test.{ts,tsx}"] },
});
