import type { Gauge as GaugeOf } from "legato-client";
import { useWords } from "../i18n";
import { band } from "./gauge";

/** How much of the model's window the conversation takes. */
export function Gauge({ gauge }: { gauge: GaugeOf }) {
  const words = useWords();
  const share = Math.min(1, gauge.tokens / Math.max(1, gauge.window));
  const text = words("gauge", { tokens: gauge.tokens.toLocaleString(), window: gauge.window.toLocaleString() });
  return (
    <span className="gauge" data-band={band(gauge)} title={text}>
      <meter aria-label={text} min={0} max={1} value={share} />
      <span aria-hidden="true">{Math.round(share * 100)} %</span>
    </span>
  );
}
