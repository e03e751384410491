import { expect, test } from "vitest";
import { harmless } from "./safety";

test("settings are taken out", () => {
  expect(harmless("---\ntitle: x\n---\nflowchart LR\nA-->B")).toBe("flowchart LR\nA-->B");
  expect(harmless("%%{init: {'theme': 'dark'}}%%\nflowchart LR")).toBe("\nflowchart LR");
  expect(harmless("flowchart LR\nA@{ shape: circle, label: \"x\" }\nclick A href \"https://example.org\"")).toContain("circle");
});

test("what may fetch is not drawn", () => {
  const fetching = [
    "style A fill:url(https://e.example)", "style A fill:u\\72l(x)", "A@{ img: 'x' }", "A@{ \"img\" : x }", "A@{ \"im\\u0067\": x }", "A[<img src=x>]", "A[#60;img x#62;]",
    "A[<svg/onload=x>]", "style A x:ur#108;(x)", "%%{init: {", "style A background:image-set(x)", "@import 'x'",
  ];
  for (const line of fetching) expect(harmless(`flowchart LR\n${line}`), line).toBeNull();
});
