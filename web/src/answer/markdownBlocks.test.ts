import { expect, test } from "vitest";
import { definitionsFor, fenced, growingBlocks, piecesOf } from "./markdownBlocks";

test("cuts between paragraphs, and nothing is lost", () => {
  const text = "# One\n\ntwo\nlines\n\nthree";
  expect(piecesOf(text)).toEqual(["# One\n\n", "two\nlines\n\n", "three"]);
  expect(piecesOf(text).join("")).toBe(text);
});

test("never inside of code or maths", () => {
  expect(piecesOf("```js\na\n\nb\n```\n\nend")).toEqual(["```js\na\n\nb\n```\n\n", "end"]);
  expect(piecesOf("````\n```\n\nx\n````\n\nend")).toHaveLength(2);
  expect(piecesOf("$$\na\n\nb\n$$\n\nend")).toEqual(["$$\na\n\nb\n$$\n\n", "end"]);
  expect(piecesOf("```js\na\n\nstill # open")).toHaveLength(1);
  expect(piecesOf("```js\n# a comment\n## another\n")).toHaveLength(1);
});

test("code and headings are by themselves without empty lines, too", () => {
  expect(piecesOf("so:\n```js\na\n```\nend\n## Next\nx")).toEqual(["so:\n", "```js\na\n```\n", "end\n", "## Next\nx"]);
  expect(piecesOf("- a\n  ```js\n  b\n  ```\n- c")).toHaveLength(1);
  expect(piecesOf("```not a fence``` but code")).toHaveLength(1);
});

test("never inside of a list, not even while its next mark is half there", () => {
  expect(piecesOf("1. a\n\n2. b\n\n   more\n\nend")).toEqual(["1. a\n\n2. b\n\n   more\n\n", "end"]);
  for (const half of ["2", "2.", "2. b", "-", "*"]) expect(piecesOf(`1. a\n\n${half}`)).toHaveLength(1);
  expect(piecesOf("a\n\n**b")).toHaveLength(2);
});

test("what is very long is cut between lines", () => {
  const list = "- a point\n".repeat(3_000);
  expect(piecesOf(list).length).toBeGreaterThan(2);
  expect(piecesOf(list).join("")).toBe(list);
  expect(piecesOf("1. a point\n".repeat(3_000)), "its numbers are the list's own").toHaveLength(1);
});

test("however a text grows, its blocks are those of the whole, and finished ones stay the same", () => {
  const text = "# A\nb\n\n- c\n\n- d\n```js\ne\n\nf\n```\n\n2. g\n\n2023 was\n\n| h |\n|---|\n| i |\n\n[1]: https://example.org\n";
  const blocksOf = growingBlocks();
  let before = blocksOf("");
  for (let end = 1; end <= text.length; end += 1) {
    const now = blocksOf(text.slice(0, end));
    expect(now.map((block) => block.text)).toEqual(piecesOf(text.slice(0, end)));
    before.slice(0, -1).forEach((block, index) => expect(now[index]).toBe(block));
    before = now;
  }
  expect(blocksOf("another").map((block) => block.text)).toEqual(["another"]);
});

test("a block is told the definitions that it uses, wherever they are", () => {
  const blocks = growingBlocks()("see [it][One], [that] and[^1][^x]\n\n[one]: https://example.org\n[that]: /x\n[^1]: A note\n");
  const all = new Map(blocks.flatMap((block) => [...block.defines]));
  const [first, second] = blocks;
  expect(first && definitionsFor(first, all, false)).toBe("[one]: https://example.org\n\n[that]: /x\n\n[^1]: .");
  expect(second && definitionsFor(second, all, false)).toBe("");
  expect(first && definitionsFor(first, new Map(), true), "the note will come").toBe("[^1]: .");
});

test("code by itself", () => {
  expect(fenced("```js title\na\n\nb\n```\n\n")).toEqual({ language: "js", code: "a\n\nb", closed: true });
  expect(fenced("```js\na\n``")).toEqual({ language: "js", code: "a", closed: false });
  expect(fenced("```\n```")).toEqual({ language: "", code: "", closed: true });
  expect(fenced("````md\n```\nx\n```\n")).toEqual({ language: "md", code: "```\nx\n```", closed: false });
  expect(fenced("```a`b```")).toBeNull();
});
