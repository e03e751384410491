import { expect, test } from "vitest";
import { groupOf } from "./dateGroups";

const now = new Date(2026, 2, 1, 0, 5);
const at = (...when: [number, number, number, number, number]) => ({ last_activity: new Date(...when).toISOString() });

test("days are calendar days, not spans of 24 hours", () => {
  expect(groupOf(at(2026, 2, 1, 0, 1), now)).toBe("today");
  expect(groupOf(at(2026, 1, 28, 23, 59), now)).toBe("yesterday");
  expect(groupOf(at(2026, 1, 27, 23, 59), now)).toBe("week");
  expect(groupOf(at(2026, 1, 22, 0, 0), now)).toBe("week");
  expect(groupOf(at(2026, 1, 21, 23, 59), now)).toBe("older");
});

test("what is pinned stands first, however old", () => {
  expect(groupOf({ ...at(2020, 0, 1, 0, 0), pinned: true }, now)).toBe("pinned");
});
