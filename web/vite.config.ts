import react from "@vitejs/plugin-react";
import { fileURLToPath } from "node:url";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";
import { diagramDocument } from "./diagramDocument.ts";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** KaTeX brings its fonts in three formats; every browser that can show the page reads the smallest. */
const woff2Only = (): Plugin => ({
  name: "woff2-only",
  enforce: "pre",
  transform: (code, id) => (/katex[^?]*\.css/.test(id) ? code.replace(/,\s*url\([^)]*\.(?:woff|ttf)\)\s*format\(["'][^"']*["']\)/g, "") : null),
});

export default defineConfig({
  plugins: [react(), diagramDocument(), woff2Only()],
  // Relative: Legato may be mounted under any path.
  base: "./",
  resolve: {
    alias: {
      "legato-client": here("../clients/typescript/src/index.ts"),
      // Its browser's version asks innerHTML what "&nbsp;" means, which Trusted Types refuse; this one has a table.
      "decode-named-character-reference": here("./node_modules/decode-named-character-reference/index.js"),
    },
  },
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
