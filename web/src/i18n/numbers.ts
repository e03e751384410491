import type { Language } from "./fill";

/** As it is written where the browser is at home, if that is where the language is spoken. */
export const localeOf = (language: Language): string => navigator.languages.find((each) => each.startsWith(language)) ?? language;

/** US dollars: small sums with the digits that tell something. */
export const dollars = (value: number, language: Language): string =>
  value.toLocaleString(localeOf(language), {
    style: "currency", currency: "USD", currencyDisplay: "narrowSymbol", maximumFractionDigits: value !== 0 && Math.abs(value) < 0.1 ? 4 : 2,
  });

const UNITS = ["B", "KB", "MB"];

export function sizeOf(bytes: number, language: Language): string {
  const power = bytes < 1000 ? 0 : bytes < 1_000_000 ? 1 : 2;
  return `${(bytes / 1000 ** power).toLocaleString(language, { maximumFractionDigits: power === 2 ? 1 : 0 })} ${UNITS[power] ?? ""}`;
}
