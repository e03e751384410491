import { expect, test } from "vitest";
import { blocksOf } from "./markdownBlocks";

test("cuts between paragraphs, and nothing is lost", () => {
  const text = "# One\n\ntwo\nlines\n\nthree";
  expect(blocksOf(text)).toEqual(["# One\n\n", "two\nlines\n\n", "three"]);
  expect(blocksOf(text).join("")).toBe(text);
});

test("never inside of code or maths", () => {
  expect(blocksOf("```js\na\n\nb\n```\n\nend")).toEqual(["```js\na\n\nb\n```\n\n", "end"]);
  expect(blocksOf("````\n```\n\nx\n````\n\nend")).toHaveLength(2);
  expect(blocksOf("$$\na\n\nb\n$$\n\nend")).toEqual(["$$\na\n\nb\n$$\n\n", "end"]);
  expect(blocksOf("```js\na\n\nstill open")).toHaveLength(1);
});

test("never inside of a list, nor where a reference is defined", () => {
  expect(blocksOf("1. a\n\n2. b\n\n   more\n\nend")).toEqual(["1. a\n\n2. b\n\n   more\n\n", "end"]);
  expect(blocksOf("see [it][1]\n\n[1]: https://example.org\n\nx")).toHaveLength(1);
});
