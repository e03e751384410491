const UNITS = [["days", 86_400_000], ["hours", 3_600_000], ["minutes", 60_000], ["seconds", 1000]] as const;

/** In its largest unit, which is how people say it; null: none is left. */
export function timeLeftOf(ms: number): { unit: (typeof UNITS)[number][0]; n: number } | null {
  if (ms <= 0) return null;
  const [unit, length] = UNITS.find(([, each]) => ms >= each) ?? UNITS[3];
  return { unit, n: Math.max(1, Math.floor(ms / length)) };
}
