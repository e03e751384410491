import type { Message } from "legato-client";

type Said = Pick<Message, "parts">;

/** Its words. */
export function plainText({ parts = [] }: Said): string {
  return parts.map((part) => (part.type === "text" ? part.text : "")).join("");
}

/** All of it as Markdown: words, thoughts, and what tools were asked and answered. */
export function wholeText({ parts = [] }: Said): string {
  return parts
    .map((part) => {
      if (part.type === "text") return part.text;
      if (part.type === "reasoning") return part.text.replace(/^/gm, "> ");
      if (part.type === "tool_call") return `\`${part.name}\`\n\n${fenced(part.arguments ?? "")}`;
      if (part.type === "tool_result") return fenced(part.output);
      return `[${part.name}]`;
    })
    .map((text) => text.trim())
    .filter(Boolean)
    .join("\n\n");
}

/** A fence that nothing in it can end. */
function fenced(text: string): string {
  const longest = Math.max(2, ...(text.match(/`+/g) ?? []).map((ticks) => ticks.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}\n${text}\n${fence}`;
}
