import { expect, test, vi } from "vitest";
import { dollars, localeOf } from "../i18n/numbers";
import { dayOf, durationOf } from "./when";

vi.stubGlobal("navigator", { languages: ["en-GB", "en", "ru"] });

test("dates are written as where the browser is at home", () => {
  expect([localeOf("en"), localeOf("ru"), localeOf("sv")]).toEqual(["en-GB", "ru", "sv"]);
});

test("a duration is told in the unit that fits", () => {
  expect([0.0004, 0.0041, 0.25, 1.25, 75].map((each) => durationOf(each, "en"))).toEqual(["0.4 ms", "4.1 ms", "250 ms", "1.3 s", "75 s"]);
  expect([0.0041, 1.25].map((each) => durationOf(each, "ru"))).toEqual(["4,1 мс", "1,3 с"]);
});

test("small sums are not rounded away", () => {
  expect([0, 0.0021, 12].map((each) => dollars(each, "en"))).toEqual(["$0.00", "$0.0021", "$12.00"]);
});

test("a day of another year says which", () => {
  const now = new Date(2026, 10, 26);
  const days = [2026, 2025].map((year) => dayOf(new Date(year, 0, 5).getTime(), "sv", now));
  expect(days).toEqual(["5 jan.", "5 jan. 2025"]);
});
