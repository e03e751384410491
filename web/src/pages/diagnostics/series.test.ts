import type { Diagnostics } from "legato-client";
import { expect, test } from "vitest";
import { costLines, endLines, isEmpty, latencyLines, stacked } from "./series";

const at = (minute: number): string => `2026-11-26T10:0${minute}:00Z`;
const hour = { open: [0, 1, 2].map((minute) => ({ at: at(minute), sessions: 0, lists: 0, turns: 0 })) } as unknown as Diagnostics;

test("a minute without a measure is a gap, not a zero", () => {
  const spread = { count: 3, p50_s: 0.1, p95_s: 0.2, max_s: 0.3 };
  const { values } = latencyLines({ total: spread, minutes: [{ at: at(1), spread }] }, hour);
  expect(values).toEqual([[null, 0.1, null], [null, 0.2, null]]);
});

test("what did not come is counted as none", () => {
  const lines = endLines({ total: {}, minutes: [{ at: at(2), counts: { a: 2 } }] }, ["a", "b"], hour);
  expect(lines.values).toEqual([[0, 0, 2], [0, 0, 0]]);
  expect(isEmpty(lines)).toBe(false);
  expect(isEmpty(endLines({ total: {}, minutes: [] }, ["a"], hour))).toBe(true);
});

test("lines are stacked, the sum of all first", () => {
  expect(stacked([[1, 2], [10, 20], [null, 100]])).toEqual([[11, 122], [11, 22], [1, 2]]);
});

test("a day that cost nothing is there", () => {
  const sums = { calls: 0, prompt_tokens: 0, completion_tokens: 0, cached_tokens: 0, total_tokens: 0, cost_usd: 0.5, unpriced: 0, estimated: 0 };
  const { times, values } = costLines({ from: "2026-11-24", to: "2026-11-26", group_by: ["day"], data: [{ ...sums, day: "2026-11-25" }], has_more: false, total: sums });
  expect(times).toHaveLength(3);
  expect(values).toEqual([[0, 0.5, 0]]);
});
