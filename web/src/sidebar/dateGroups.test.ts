import { expect, test } from "vitest";
import { groupOf, linesOf } from "./dateGroups";

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

test("the list is the groups that there are, each under its name, in the order of the sessions", () => {
  const session = (id: string, day: number, pinned = false) => ({
    id, pinned, last_activity: new Date(2026, 2, day, 12).toISOString(), created_at: "", owner: "", agent_id: "", agent_name: "",
  });
  const lines = linesOf([session("a", 1), session("b", 1), session("c", -30), session("d", -40, true)], new Date(2026, 2, 1, 20));
  expect(lines.map((line) => line.session?.id ?? line.group)).toEqual(["pinned", "d", "today", "a", "b", "older", "c"]);
});
