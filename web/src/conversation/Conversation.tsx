import { isTerminal } from "legato-client";
import { useEffect } from "react";
import { Composer } from "../composer/Composer";
import { focusBack } from "../controls/focusBack";
import { spoken, useWords } from "../i18n";
import { dollars } from "../i18n/numbers";
import { Link } from "../shell/Link";
import { TopBar } from "../shell/TopBar";
import { agents } from "../state/catalog";
import { client } from "../state/client";
import { conversations, openTurns, stop, stopping } from "../state/conversations";
import { useRoute } from "../state/route";
import { sessions } from "../state/sessions";
import { useStore } from "../state/store";
import { ApprovalCard } from "./ApprovalCard";
import { Gauge } from "./Gauge";
import { GaugeWarning } from "./GaugeWarning";
import { Outgoing } from "./Outgoing";
import { Skeleton } from "./Skeleton";
import { Standing } from "./Standing";
import { SummaryMark } from "./SummaryMark";
import { Thread } from "./Thread";
import { Title } from "./Title";
import { useSummary } from "./useSummary";
import { Waiting } from "./Waiting";
import "./conversation.css";

export function Conversation({ id, onMenu }: { id: string; onMenu: () => void }) {
  const words = useWords();
  const route = useRoute();
  const conversation = conversations.get(id);
  const shown = useStore(conversation);
  const outgoing = useStore(conversations.outbox);
  const known = useStore(agents);
  const asked = useStore(stopping);
  const { state, connection, error, retryAt } = shown;
  const { listed, running: listedAsRunning } = useStore(sessions); // also while this tab has left the stream to others
  const open = openTurns(state);
  const running = open.find((turn) => turn.status === "in_progress");
  const busy = open.length > 0;
  const agent = known.find((each) => each.id === state?.session.agent_id);
  const mine = outgoing.filter((entry) => entry.sessionId === id && (!entry.edits || entry.error || entry.trouble));
  const title = state?.session.title || words(state ? "untitled" : "newChat");
  const usage = state?.turns.filter((turn) => isTerminal(turn.status)).at(-1)?.usage;
  const summary = useSummary(id, state);
  const session = state?.session ?? listed?.find((each) => each.id === id);
  // Before it is known whether one may write here, nobody should begin to; while the server is away, one may.
  const mayWrite = session ? !session.read_only && !session.quarantined : connection !== "connecting" || mine.length > 0;
  useEffect(() => (mayWrite ? () => { if (!document.getElementById("text")) focusBack(null); } : undefined), [mayWrite]);
  const empty = state !== null && shown.messages.length === 0 && mine.length === 0 && !busy;
  return (
    <>
      <Title title={title} running={connection === "closed" ? listedAsRunning.has(id) : busy} />
      <TopBar title={title} onMenu={onMenu}>
        {agent?.demo && <span className="badge">{words("demo")}</span>}
        {state?.gauge && <Gauge sessionId={id} gauge={state.gauge} />}
        <a className="quiet" href={client.exportUrl(id, "markdown")} download>{words("export")}</a>
      </TopBar>
      {state?.gauge && <GaugeWarning gauge={state.gauge} />}
      <div className="thread">
        {connection === "gone" ? (
          <div className="welcome">
            <h2>{words("goneTitle")}</h2>
            <p>{words("goneBody")}</p>
            {mine.map((entry) => <Outgoing key={entry.messageId} entry={entry} />)}
          </div>
        ) : !state && mine.length === 0 ? (
          <Skeleton error={error} />
        ) : empty ? (
          <div className="welcome"><h2>{words("emptyTitle")}</h2><p dir="auto">{agent?.description}</p></div>
        ) : (
          <Thread
            key={id} conversation={conversation} shown={shown} label={title} wanted={route.page === "chat" ? route.messageId : null}
            summarised={summary && <SummaryMark summary={summary} />} summarisedUpTo={summary?.message_id}
          >
            {mine.map((entry) => <Outgoing key={entry.messageId} entry={entry} />)}
            {state?.approvals.map((approval) => <ApprovalCard key={approval.id} approval={approval} />)}
          </Thread>
        )}
        <div className="column bottom">
          <Waiting messages={shown.waiting} onInterrupt={running && (() => void stop(id))} />
          {state && <Standing session={state.session} />}
          {mayWrite && (
            <Composer
              sessionId={id} running={busy} stopping={asked !== null && asked === open[0]?.id}
              disabled={connection === "gone"} onStop={() => void stop(id)}
            />
          )}
          <Link connection={connection} retryAt={retryAt} error={error} onTry={() => conversation.hurry()}>
            {running && <span className="phase">{[words(running.phase ?? "answering"), running.detail].filter(Boolean).join(": ")}</span>}
            {usage?.total_tokens ? (
              <span id="usage">
                {usage.estimated ? "≈ " : ""}{words("tokens", { n: usage.total_tokens })}
                {usage.cost_usd == null ? "" : ` · ${dollars(usage.cost_usd, spoken())}`}
              </span>
            ) : null}
          </Link>
        </div>
      </div>
    </>
  );
}
