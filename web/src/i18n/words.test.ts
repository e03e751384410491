import { expect, test } from "vitest";

const TABLES = import.meta.glob<{ words: Record<string, readonly string[]> }>(["../**/words.ts", "./common.ts"], { eager: true });

test("no two rooms have a word of the same name", () => {
  const names = Object.values(TABLES).flatMap(({ words }) => Object.keys(words));
  expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
});

test("every word is said in three languages, with the same things to fill in", () => {
  for (const { words } of Object.values(TABLES)) {
    for (const [name, forms] of Object.entries(words)) {
      const wanted = forms.map((form) => [...new Set(form.match(/\{\w+\}/g))].sort().join());
      expect([name, new Set(wanted).size, forms.every((form) => form.trim() !== "")]).toEqual([name, 1, true]);
    }
  }
});
