import { fileURLToPath } from "node:url";
import { build, type Plugin } from "vite";

const HEAD = "<!doctype html><meta charset=\"utf-8\"><title>Diagram</title><style>body{margin:0;overflow-x:auto}</style>";

/**
 * The document in which Mermaid draws, as one file: it has no origin, so it could fetch no script where people sign in, and
 * its policy (page.py) names the script by its hash and nothing else.
 */
export function diagramDocument(): Plugin {
  let building = false;
  return {
    name: "diagram-document",
    configResolved: ({ command, mode }) => void (building = command === "build" && mode !== "test"),
    resolveId: (id) => (id === "virtual:diagram" ? "\0diagram" : null),
    async load(id) {
      if (id !== "\0diagram") return null;
      if (!building) return "export default '';";
      const made = this.emitFile({ type: "asset", name: "diagram.html", source: `${HEAD}<body><script>${await script()}</script>` });
      return `export default import.meta.ROLLUP_FILE_URL_${made};`;
    },
  };
}

async function script(): Promise<string> {
  const made = await build({
    configFile: false,
    logLevel: "warn",
    build: {
      write: false,
      target: "es2023",
      assetsInlineLimit: 0,
      modulePreload: false,
      lib: { entry: fileURLToPath(new URL("src/diagram/main.ts", import.meta.url)), formats: ["iife"], name: "diagram" },
    },
    define: { "process.env.NODE_ENV": "'production'" },
  });
  const [output] = [made].flat();
  if (!output || !("output" in output)) throw new Error("nothing was built");
  const [{ code }] = output.output;
  // Neither may stand in a script that stands in HTML.
  return code.replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--");
}
