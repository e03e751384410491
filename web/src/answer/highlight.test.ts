import { expect, test } from "vitest";
import { linesOf } from "./highlight";

test("tokens in lines, and nothing is lost", () => {
  const code = "def f(x):\n    '''a\n    b'''\n    return x  # so\n\n";
  const lines = linesOf(code, "python") ?? [];
  expect(lines.flat().map(({ text }) => text).join("")).toBe(code);
  expect(lines.map((line) => line.map(({ text }) => text).join(""))).toEqual([...code.split(/(?<=\n)/), ""]);
  expect(lines[0]?.[0]).toEqual({ text: "def", kind: "hljs-keyword" });
  expect(linesOf("x", "klingon")).toBeNull();
});
