import type { Gauge } from "legato-client";

export type Band = "calm" | "half" | "high" | "full";

/** Bands at 50, 75 and 90 % of the window. */
export function band({ tokens, window }: Gauge): Band {
  const share = tokens / Math.max(1, window);
  if (share >= 0.9) return "full";
  if (share >= 0.75) return "high";
  return share >= 0.5 ? "half" : "calm";
}
