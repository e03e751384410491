import clojure from "highlight.js/lib/languages/clojure";
import cmake from "highlight.js/lib/languages/cmake";
import dart from "highlight.js/lib/languages/dart";
import dockerfile from "highlight.js/lib/languages/dockerfile";
import elixir from "highlight.js/lib/languages/elixir";
import haskell from "highlight.js/lib/languages/haskell";
import http from "highlight.js/lib/languages/http";
import julia from "highlight.js/lib/languages/julia";
import latex from "highlight.js/lib/languages/latex";
import nginx from "highlight.js/lib/languages/nginx";
import powershell from "highlight.js/lib/languages/powershell";
import protobuf from "highlight.js/lib/languages/protobuf";
import scala from "highlight.js/lib/languages/scala";
import { common, createLowlight } from "lowlight";

const lowlight = createLowlight({
  ...common, clojure, cmake, dart, dockerfile, elixir, haskell, http, julia, latex, nginx, powershell, protobuf, scala,
});
type Node = ReturnType<typeof lowlight.highlight>["children"][number];

/** A piece of code of one kind; the kind is a class of answer.css. */
export interface Token {
  text: string;
  kind: string;
}

/** Code in lines of tokens; null where the language isn't known. */
export function linesOf(code: string, language: string): Token[][] | null {
  if (!lowlight.registered(language)) return null;
  const lines: Token[][] = [[]];
  const walk = (node: Node, kind: string) => {
    if (node.type === "element") {
      const names = node.properties["className"];
      node.children.forEach((child) => walk(child, Array.isArray(names) ? names.join(" ") : kind));
    } else if (node.type === "text") {
      for (const [index, text] of node.value.split(/(?<=\n)/).entries()) {
        if (index > 0) lines.push([]);
        lines.at(-1)?.push({ text, kind });
      }
      if (node.value.endsWith("\n")) lines.push([]);
    }
  };
  lowlight.highlight(language, code).children.forEach((node) => walk(node, ""));
  return lines;
}
