import { expect, test } from "vitest";
import { fill } from "./fill";

test("a number chooses its form in each language", () => {
  const ru = "{n} чат|{n} чата|{n} чатов";
  expect([1, 2, 5, 11, 21, 22].map((n) => fill(ru, "ru", { n }))).toEqual(["1 чат", "2 чата", "5 чатов", "11 чатов", "21 чат", "22 чата"]);
  expect([1, 2].map((n) => fill("{n} chat|{n} chats", "en", { n }))).toEqual(["1 chat", "2 chats"]);
});

test("numbers are written as the language does, and what is not told stays empty", () => {
  expect(fill("{n} of {all}", "en", { n: 12345 })).toBe("12,345 of ");
});
