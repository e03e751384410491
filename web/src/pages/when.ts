import type { Language } from "../i18n";
import { localeOf } from "../i18n/numbers";

/** The day, with the year only where it is another one. */
export function dayOf(at: string | number, language: Language, now = new Date()): string {
  const day = new Date(at);
  const year = day.getFullYear() === now.getFullYear() ? {} : { year: "numeric" as const };
  return day.toLocaleDateString(localeOf(language), { day: "numeric", month: "short", ...year });
}

export const timeOf = (at: string | number, language: Language, seconds = true): string =>
  new Date(at).toLocaleTimeString(localeOf(language), { hour: "2-digit", minute: "2-digit", ...(seconds ? { second: "2-digit" } : {}) });

/** Milliseconds below a second, else seconds: as exact as it matters. */
export function durationOf(seconds: number, language: Language): string {
  const short = seconds < 1;
  const value = short ? seconds * 1000 : seconds;
  const digits = value < 1 ? 2 : value < 10 ? 1 : 0;
  return `${value.toLocaleString(localeOf(language), { maximumFractionDigits: digits })} ${short ? (language === "ru" ? "мс" : "ms") : language === "ru" ? "с" : "s"}`;
}
