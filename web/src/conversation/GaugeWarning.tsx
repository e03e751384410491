import type { Gauge } from "legato-client";
import { useWords } from "../i18n";
import { band } from "./gauge";

/** From 75 % on: what happens when the window is full, before it does. */
export function GaugeWarning({ gauge }: { gauge: Gauge }) {
  const words = useWords();
  const now = band(gauge);
  if (now !== "high" && now !== "full") return null;
  return <p className="gauge-warning" role="status" data-band={now}>{words(now === "full" ? "gaugeFull" : "gaugeHigh")}</p>;
}
