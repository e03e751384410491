import type { Message } from "legato-client";

export function plainText({ parts = [] }: Pick<Message, "parts">): string {
  return parts.map((part) => (part.type === "text" ? part.text : "")).join("");
}
