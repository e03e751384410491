import { useNow } from "../controls/useNow";
import { useWords } from "../i18n";
import { timeLeftOf } from "./timeLeftOf";

/** How long a question still waits for its answer. */
export function TimeLeft({ until }: { until: string }) {
  const words = useWords();
  const left = timeLeftOf(Date.parse(until) - useNow(1000));
  return <>{left ? words("expiresIn", { time: words(left.unit, { n: left.n }) }) : words("expired")}</>;
}
