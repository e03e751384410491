import { expect, test } from "vitest";
import { fuzzy, ranked } from "./fuzzy";

test("what begins so comes before what holds it, and that before strewn letters", () => {
  const texts = ["Diagnostics", "Go to the inbox", "Inbox", "Fix a bug in notes"];
  expect(ranked("inbox", texts, String)).toEqual(["Inbox", "Go to the inbox"]);
  expect(ranked("nc", ["Once", "New chat"], String)).toEqual(["New chat", "Once"]);
  expect(ranked("чат", ["Новый чат", "Память"], String)).toEqual(["Новый чат"]);
});

test("letters that are not there, or strewn about, do not answer", () => {
  expect(fuzzy("xyz", "Export")).toBe(0);
  expect(fuzzy("ecom", "the quick brown fox comes")).toBe(0);
});

test("nothing typed keeps everything as it is", () => {
  expect(ranked(" ", ["b", "a"], String)).toEqual(["b", "a"]);
});
