import { expect, test } from "vitest";
import { sizeOf } from "../i18n/numbers";
import { nearLimit, refusalOf } from "./limits";

test("the limit is told when it is near, and characters are counted as people do", () => {
  expect(nearLimit("a".repeat(40_000))).toBeNull();
  expect(nearLimit("a".repeat(46_000))).toBe(46_000);
  expect(nearLimit("🙂".repeat(24_000))).toBeNull();
  expect(nearLimit("🙂".repeat(50_001))).toBe(50_001);
});

test("what no server would take is refused before it is sent", () => {
  expect(refusalOf({ size: 1, type: "" })).toBeNull();
  expect(refusalOf({ size: 1, type: "image/svg+xml" })).toBeNull();
  expect(refusalOf({ size: 0, type: "text/plain" })).toBe("emptyFile");
  expect(refusalOf({ size: 20 * 1024 * 1024 + 1, type: "image/png" })).toBe("tooBig");
  for (const type of ["video/mp4", "image/heic", "application/zip"]) expect(refusalOf({ size: 1, type })).toBe("wrongKind");
});

test("sizes are short", () => {
  expect([12, 3456, 7_890_123].map((size) => sizeOf(size, "en"))).toEqual(["12 B", "3 KB", "7.9 MB"]);
});
