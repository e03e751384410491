import type { Latency, Spread } from "legato-client";
import { useMemo } from "react";
import { isWord, spoken, useWords, type Language, type Word } from "../../i18n";
import { sessions } from "../../state/sessions";
import { useStore } from "../../state/store";
import { Section, Sheet } from "../Sheet";
import { dayOf, durationOf, timeOf } from "../when";
import { dollars } from "../../i18n/numbers";
import { Chart } from "./Chart";
import { Record } from "./Record";
import { costLines, endLines, latencyLines, openLines } from "./series";
import { useDiagnostics, type Told } from "./useDiagnostics";
import "./diagnostics.css";

/** The order in which codes are stacked and told, and the colour of each. */
const CODES = {
  "stream.completed": "chart-1",
  "stream.closed": "chart-2",
  "stream.abandoned": "chart-3",
  "stream.cancelled": "chart-4",
  "stream.incomplete": "chart-5",
  "stream.reconciled": "chart-6",
  "stream.error": "chart-7",
} as const satisfies Partial<{ [Code in Word]: string }>;
const codes = Object.keys(CODES) as (keyof typeof CODES)[];
const openColours = ["chart-1", "chart-3", "chart-5"];
const spreadColours = ["chart-1", "chart-4"];
const costColours = ["chart-1"];

export default function Diagnostics({ onMenu }: { onMenu: () => void }) {
  const words = useWords();
  const { told, unanswered } = useDiagnostics();
  const { connection } = useStore(sessions);
  const lost = unanswered || connection === "lost" || connection === "offline";
  return (
    <Sheet title={words("diagnostics")} wide onMenu={onMenu}>
      {lost && <p className="warn" role="status">{words("diagLost")}</p>}
      {told ? <><Now told={told} /><LastHour told={told} /><Reasons told={told} /></> : !lost && <p className="opening">{words("loading")}</p>}
      <Record ends={told?.ends} />
    </Sheet>
  );
}

function Now({ told: { now } }: { told: Told }) {
  const words = useWords();
  const language = spoken();
  const numbers: readonly [Word, string][] = [
    ["diagSessions", now.streams.sessions.toLocaleString(language)],
    ["diagLists", now.streams.lists.toLocaleString(language)],
    ["diagRunning", now.turns.running.toLocaleString(language)],
    ["diagWaiting", now.turns.waiting.toLocaleString(language)],
    ["diagSince", `${dayOf(now.started_at, language)}, ${timeOf(now.started_at, language, false)}`],
  ];
  return (
    <Section title={words("diagNow")} note={words("diagNote")}>
      <dl className="tiles">
        {numbers.map(([name, value]) => <div key={name} data-number={name}><dt>{words(name)}</dt><dd>{value}</dd></div>)}
      </dl>
    </Section>
  );
}

const formats = (language: Language) => ({
  count: (value: number) => (Number.isInteger(value) ? value.toLocaleString(language) : ""),
  time: (value: number) => durationOf(value, language),
  money: (value: number) => dollars(value, language),
});

function LastHour({ told: { now, usage } }: { told: Told }) {
  const words = useWords();
  const language = spoken();
  const { count, time, money } = useMemo(() => formats(language), [language]);
  const came = useMemo(() => codes.filter((code) => now.stream_ends.total[code]), [now]);
  const lines = useMemo(() => ({
    open: openLines(now),
    ends: endLines(now.stream_ends, came, now),
    first: latencyLines(now.first_token, now),
    commit: latencyLines(now.commit, now),
    rescue: latencyLines(now.rescue, now),
    cost: costLines(usage),
  }), [now, usage, came]);
  const spread = { names: [words("diagHalf"), words("diagMost")], colours: spreadColours, kind: "line", y: time } as const;
  const latencies: readonly [title: Word, Latency, typeof lines.first, nothing: Word][] = [
    ["diagFirst", now.first_token, lines.first, "diagNothing"],
    ["diagCommit", now.commit, lines.commit, "diagNothing"],
    ["diagRescue", now.rescue, lines.rescue, "diagNoRescue"],
  ];
  return (
    <Section title={words("diagHour")}>
      <div className="figures">
        <Chart
          title={words("diagOpen")} lines={lines.open} names={[words("diagSessions"), words("diagLists"), words("diagRunning")]}
          colours={openColours} kind="step" y={count} nothing={words("diagNothing")}
        />
        <Chart
          title={words("diagEnds")} lines={lines.ends} names={came.map((code) => words(code))} colours={came.map((code) => CODES[code])}
          kind="bars" y={count} nothing={words("diagNothing")}
        />
        {latencies.map(([title, { total }, drawn, nothing]) => (
          <Chart key={title} {...spread} title={words(title)} lines={drawn} nothing={words(nothing)}><Spreads spread={total} /></Chart>
        ))}
        <Chart title={words("diagCost")} lines={lines.cost} names={[words("settingsCost")]} colours={costColours} kind="bars" byDay y={money} nothing={words("diagNoCost")}>
          {usage.total.cost_usd > 0 && <p className="spread">{words("diagTotal")} <b>{dollars(usage.total.cost_usd, language)}</b></p>}
        </Chart>
      </div>
    </Section>
  );
}

function Spreads({ spread }: { spread: Spread }) {
  const words = useWords();
  if (spread.count === 0) return null;
  const parts: readonly [Word, number][] = [["diagHalf", spread.p50_s], ["diagMost", spread.p95_s], ["diagLongest", spread.max_s]];
  return (
    <p className="spread">
      {parts.map(([name, value]) => <span key={name}>{words(name)} <b>{durationOf(value, spoken())}</b></span>)}
      <span>{words("diagCount", { n: spread.count })}</span>
    </p>
  );
}

/** Reasons are the words of the protocol; a person's language may have one of its own for them. */
function Reasons({ told: { now } }: { told: Told }) {
  const words = useWords();
  const reasons = Object.entries(now.turn_ends.total).sort(([, one], [, other]) => other - one);
  const most = reasons[0]?.[1] ?? 1;
  return (
    <Section title={words("diagReasons")}>
      {reasons.length === 0 && <p className="empty">{words("diagNothing")}</p>}
      <dl className="reasons">
        {reasons.map(([reason, count]) => (
          <div key={reason}>
            <dt><code>{reason}</code>{isWord(`reason.${reason}`) && <span className="muted"> {words(`reason.${reason}` as Word)}</span>}</dt>
            <dd><span className="bar" style={{ width: `${(count / most) * 100}%` }} /><span>{count.toLocaleString(spoken())}</span></dd>
          </div>
        ))}
      </dl>
    </Section>
  );
}
