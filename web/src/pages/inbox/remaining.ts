const UNITS = [["day", 86_400_000], ["hour", 3_600_000], ["minute", 60_000]] as const;

/** How long it is until then in the language's words, rounded down; null when less than a minute is left, or none. */
export function remaining(until: string, now: number, language: string): string | null {
  const left = new Date(until).getTime() - now;
  for (const [unit, ms] of UNITS) {
    if (left >= ms) return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "long" }).format(Math.floor(left / ms));
  }
  return null;
}
