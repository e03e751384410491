import { expect, test } from "vitest";
import { plainText, wholeText } from "./plainText";

const parts = [
  { type: "reasoning", text: "a\nb" },
  { type: "text", text: "It is **seven**." },
  { type: "tool_call", call_id: "c", name: "weather", arguments: "{}" },
  { type: "tool_result", call_id: "c", output: "a ``` b" },
] as const;

test("the words alone, or all of it as Markdown with fences that hold", () => {
  expect(plainText({ parts })).toBe("It is **seven**.");
  expect(wholeText({ parts })).toBe("> a\n> b\n\nIt is **seven**.\n\n`weather`\n\n```\n{}\n```\n\n````\na ``` b\n````");
});
