import { expect, test } from "vitest";
import { remaining } from "./remaining";

const now = Date.UTC(2026, 0, 1, 12);
const after = (minutes: number): string => new Date(now + minutes * 60_000).toISOString();

test("the largest unit that is full tells how long it waits", () => {
  expect(remaining(after(59.9), now, "en")).toBe("59 minutes");
  expect(remaining(after(60), now, "en")).toBe("1 hour");
  expect(remaining(after(72 * 60), now, "ru")).toBe("3 дня");
});

test("the last minute, and what is over, have no number", () => {
  expect(remaining(after(0.5), now, "en")).toBeNull();
  expect(remaining(after(-5), now, "en")).toBeNull();
});
