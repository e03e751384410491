import { expect, test } from "vitest";
import { mathMarks } from "./mathMarks";

test("prices are no maths", () => {
  expect(mathMarks("it costs $5 or $10.50 a day")).toBe("it costs \\$5 or \\$10.50 a day");
  expect(mathMarks("Euler: $e^{i\\pi} + 1 = 0$.")).toBe("Euler: $e^{i\\pi} + 1 = 0$.");
});

test("the brackets of LaTeX become dollars", () => {
  expect(mathMarks("so \\(x^2\\) is")).toBe("so $x^2$ is");
  expect(mathMarks("so\n\\[\nx\n\\]\nis")).toBe("so\n\n$$\nx\n$$\n\nis");
});

test("code is left alone", () => {
  expect(mathMarks("`$5 \\(x\\)` is")).toBe("`$5 \\(x\\)` is");
  expect(mathMarks("```sh\necho $5 \n```")).toBe("```sh\necho $5 \n```");
});
