import type { Session } from "legato-client";
import { expect, test } from "vitest";
import { withoutSession, withSessions } from "./sessionOrder";

function session(id: string, lastActivity: string, title = id): Session {
  return { id, title, last_activity: lastActivity, owner: "", agent_id: "", agent_name: "", created_at: "" };
}
const names = (sessions: readonly Session[]): unknown[] => sessions.map(({ title }) => title);

const old = session("ses_a", "2026-01-01T10:00:00Z");
const middle = session("ses_b", "2026-01-02T10:00:00Z");
const young = session("ses_c", "2026-01-02T10:00:00.5Z");

test("what is told takes the place of what was known, and has one place only", () => {
  const listed = [young, middle, old];
  expect(names(withSessions(listed, [session("ses_a", "2026-01-03T00:00:00Z", "moved")]))).toEqual(["moved", "ses_c", "ses_b"]);
  expect(names(withSessions(listed, [session("ses_b", middle.last_activity, "renamed")]))).toEqual(["ses_c", "renamed", "ses_a"]);
});

test("a page of older ones follows, and what it repeats stands once", () => {
  expect(names(withSessions([young, middle], [middle, old]))).toEqual(["ses_c", "ses_b", "ses_a"]);
});

test("seconds come before their fractions, and the like by their ids, as the server orders them", () => {
  expect(names(withSessions([], [old, young, middle]))).toEqual(["ses_c", "ses_b", "ses_a"]);
  const twin = session("ses_z", old.last_activity);
  expect(names(withSessions([old], [twin]))).toEqual(["ses_z", "ses_a"]);
});

test("nothing told changes nothing, not even the list itself", () => {
  const listed = [young, old];
  expect(withSessions(listed, [])).toBe(listed);
  expect(withoutSession(listed, "ses_x")).toBe(listed);
  expect(withoutSession(listed, "ses_a")).toEqual([young]);
});
