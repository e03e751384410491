import { expect, test } from "vitest";
import { finish, OPEN } from "./unfinished";

test("what is open is closed", () => {
  expect(finish("so **bold")).toBe("so **bold**");
  expect(finish("so `code")).toBe("so `code`");
  expect(finish("whole **bold** text.")).toBe("whole **bold** text.");
  expect(finish("see [the book](https://exam")).toMatch(/^see \[the book\]\(/);
});

test("a line that may become anything waits", () => {
  for (const half of ["-", "##", "1.", "``", "---", "|", ">"]) expect(finish(`text\n${half}`)).toBe("text\n");
  expect(finish("- a\n- ")).toBe("- a\n");
  expect(finish("4")).toBe("4");
});

test("a formula is one from its beginning, and shown as it is written", () => {
  expect(finish("so \\(x^2")).toBe(`so $x^2${OPEN}$`);
  expect(finish("so $\\frac{a}")).toBe(`so $\\frac{a}${OPEN}$`);
  expect(finish("so\n\n$$\nx = y")).toBe(`so\n\n\n\n$$\nx = y${OPEN}\n$$\n`);
  expect(finish("so \\[x")).toBe(`so \n\n$$\nx${OPEN}\n$$\n`);
  for (const text of ["it is $x$, so", "it costs $5 a", "`$HOME` is", "$$\nx\n$$\nso"]) expect(finish(text)).toBe(text);
});

test("a table is one from its first line", () => {
  expect(finish("| a | b")).toBe("");
  expect(finish("| a | b |\n")).toBe("| a | b |\n| - | - |\n");
  expect(finish("| a | b |\n|--")).toBe("| a | b |\n| - | - |\n");
  expect(finish("x\n\n| a | b |\n|---|---|\n| c")).toBe("x\n\n| a | b |\n|---|---|\n| c");
});
