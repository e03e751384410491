import type { Gauge as GaugeOf, Stats } from "legato-client";
import { useRef, useState, type KeyboardEvent } from "react";
import { spoken, useWords } from "../i18n";
import { dollars } from "../i18n/numbers";
import { client } from "../state/client";
import { act } from "../state/problem";
import { band } from "./gauge";

/** How much of the model's window the conversation takes; opened, what the conversation has used in all. */
export function Gauge({ sessionId, gauge }: { sessionId: string; gauge: GaugeOf }) {
  const words = useWords();
  const details = useRef<HTMLDetailsElement>(null);
  const [stats, setStats] = useState<Stats | null>(null);
  const share = Math.min(1, gauge.tokens / Math.max(1, gauge.window));
  const text = words("gauge", { tokens: gauge.tokens, window: gauge.window });
  const close = () => details.current?.removeAttribute("open");
  const closeByKey = (event: KeyboardEvent) => {
    if (event.key !== "Escape" || !details.current?.open) return;
    event.preventDefault(); // or it would stop the answer, too
    close();
  };
  const fetchStats = async () => {
    if (details.current?.open) setStats((await act(() => client.stats(sessionId))) ?? null);
  };
  return (
    <details
      ref={details} className="gauge" data-band={band(gauge)} onToggle={() => void fetchStats()}
      onBlur={(event) => !event.currentTarget.contains(event.relatedTarget) && close()} onKeyDown={closeByKey}
    >
      <summary title={text}>
        <meter aria-label={text} min={0} max={1} value={share} />
        <span aria-hidden="true">{Math.round(share * 100)} %</span>
      </summary>
      <div className="stats" role="status">
        <p>{text}</p>
        {stats && (
          <dl>
            <div><dt>{words("messagesOf")}</dt><dd>{words("count", { n: stats.message_count })}</dd></div>
            <div><dt>{words("usedInAll")}</dt><dd>{words("tokens", { n: stats.usage.total_tokens })}</dd></div>
            <div><dt>{words("costInAll")}</dt><dd>{stats.usage.cost_usd == null ? words("unpriced") : dollars(stats.usage.cost_usd, spoken())}</dd></div>
          </dl>
        )}
      </div>
    </details>
  );
}
