import { expect, test } from "vitest";
import { band } from "./gauge";

test.each([[0, "calm"], [499, "calm"], [500, "half"], [749, "half"], [750, "high"], [899, "high"], [900, "full"], [2000, "full"]])(
  "%i of 1000 is %s",
  (tokens, expected) => expect(band({ tokens, window: 1000 })).toBe(expected),
);
