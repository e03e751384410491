import { expect, test } from "vitest";
import { timeLeftOf } from "./timeLeftOf";

test.each([[-1, null], [0, null], [200, { unit: "seconds", n: 1 }], [59_999, { unit: "seconds", n: 59 }], [60_000, { unit: "minutes", n: 1 }], [3_599_999, { unit: "minutes", n: 59 }], [90_000_000, { unit: "days", n: 1 }]])(
  "%i ms",
  (ms, expected) => expect(timeLeftOf(ms)).toEqual(expected),
);
