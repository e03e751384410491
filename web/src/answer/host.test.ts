import { expect, test } from "vitest";
import { misleads } from "./host";

test("a link's words may not name another host", () => {
  expect(misleads("https://bank.example/login", "https://evil.example/")).toBe(true);
  expect(misleads("see bank.example", "https://evil.example/")).toBe(true);
  expect(misleads("https://bank.example@evil.example/", "https://bank.example@evil.example/")).toBe(false);
  expect(misleads("bаnk.example", "https://bаnk.example/"), "a Cyrillic letter").toBe(true);
  expect(misleads("Example.org", "https://www.example.org/a")).toBe(false);
  expect(misleads("the book", "https://example.org/")).toBe(false);
});
