import { expect, test } from "vitest";
import { turnBefore } from "./turnBefore";

const order = ["a", "b", "c"];

test.each([[0, -1, undefined], [1, -1, "a"], [2, -1, "b"], [0, 1, "c"], [1, 1, null], [2, 1, undefined]] as const)(
  "the one at %i moved by %i runs before %s",
  (at, by, expected) => expect(turnBefore(order, at, by)).toBe(expected),
);
