import { expect, test } from "vitest";
import { mentionOf, piecesOf, triggerOf } from "./mentions";
import { nextPlaceholder } from "./placeholders";

test("a slash completes alone in the text, an @ at the beginning of any word", () => {
  expect(triggerOf("/re", 3)).toEqual({ kind: "command", typed: "re", start: 0 });
  expect(triggerOf("/long 3 100", 11)).toBeNull();
  expect(triggerOf("see /re", 7)).toBeNull();
  expect(triggerOf("see @plan today", 9)).toEqual({ kind: "mention", typed: "plan", start: 4 });
  expect(triggerOf("@", 1)).toEqual({ kind: "mention", typed: "", start: 0 });
  expect(triggerOf("me@example", 10)).toBeNull();
});

test("a mention is read as it was written, and nothing else is a link", () => {
  const text = `As in ${mentionOf("Plans [draft]", "ses_1")}, and [x](https://a.example) too.`;
  expect(piecesOf(text)).toEqual([
    { text: "As in " }, { text: "Plans  draft", href: "#ses_1" }, { text: ", and [x](https://a.example) too." },
  ]);
  expect(piecesOf("")).toEqual([{ text: "" }]);
});

test("placeholders come one after another, and after the last the first", () => {
  const text = "Translate {text} into {language}.";
  expect(nextPlaceholder(text, 0)).toEqual({ start: 10, end: 16 });
  expect(nextPlaceholder(text, 16)).toEqual({ start: 22, end: 32 });
  expect(nextPlaceholder(text, 32)).toEqual({ start: 10, end: 16 });
  expect(nextPlaceholder("none {} here", 0)).toBeNull();
});
