import type { Message } from "legato-client";
import { spoken, useWords } from "../i18n";
import { dollars } from "../i18n/numbers";
import { useModels } from "../state/catalog";

/** Which model said it, what it used and when: seen when looked for. */
export function MessageFacts({ message: { created_at, model_id, usage } }: { message: Message }) {
  const words = useWords();
  const known = useModels();
  const facts = [
    model_id ? (known.find(({ id }) => id === model_id)?.name ?? model_id) : "",
    usage?.total_tokens ? `${usage.estimated ? "≈ " : ""}${words("tokens", { n: usage.total_tokens })}` : "",
    usage?.cost_usd == null ? "" : dollars(usage.cost_usd, spoken()),
  ].filter(Boolean);
  const at = new Date(created_at);
  return (
    <span className="facts">
      {facts.join(" · ")}{facts.length > 0 && " · "}
      <time dateTime={created_at} title={at.toLocaleString(spoken())}>{at.toLocaleString(spoken(), { dateStyle: "medium", timeStyle: "short" })}</time>
    </span>
  );
}
