import { AssistantRuntimeProvider, ThreadPrimitive, useExternalStoreRuntime, type AppendMessage, type ThreadMessageLike } from "@assistant-ui/react";
import { isTerminal, type Message, type Session } from "legato-client";
import { useState } from "react";
import { Composer } from "../composer/Composer";
import { useWords } from "../i18n";
import { Link } from "../shell/Link";
import { TopBar } from "../shell/TopBar";
import { agents } from "../state/catalog";
import { client } from "../state/client";
import { conversations, openTurns, send } from "../state/conversations";
import { act } from "../state/problem";
import { useStore } from "../state/store";
import { ApprovalCard } from "./ApprovalCard";
import { ConversationContext } from "./ConversationContext";
import { Gauge } from "./Gauge";
import { MessageView } from "./MessageView";
import { Outgoing } from "./Outgoing";
import { Waiting } from "./Waiting";
import { plainText } from "./plainText";
import "./conversation.css";

/** Ours, as assistant-ui wants it; what is drawn is taken from `custom`. Called once for each object. */
function convertMessage(message: Message): ThreadMessageLike {
  return { id: message.id, role: message.role, content: [{ type: "text", text: plainText(message) }], metadata: { custom: { message } } };
}
const textOf = ({ content }: AppendMessage): string => content.map((part) => (part.type === "text" ? part.text : "")).join("");

export function Conversation({ id, onMenu }: { id: string; onMenu: () => void }) {
  const words = useWords();
  const conversation = conversations.get(id);
  const shown = useStore(conversation);
  const outgoing = useStore(conversations.outbox);
  const known = useStore(agents);
  const [stopping, setStopping] = useState<string | null>(null);
  const { state, connection } = shown;
  const open = openTurns(state);
  const running = open.find((turn) => turn.status === "in_progress");
  const busy = open.length > 0;
  const stop = async () => {
    const turn = open[0];
    if (!turn) return;
    setStopping(turn.id);
    if (!(await act(() => client.cancel(id, turn.id)))) setStopping(null);
  };
  const runtime = useExternalStoreRuntime<Message>({
    messages: shown.messages,
    isRunning: busy,
    convertMessage,
    onNew: async (message) => void send(id, textOf(message)),
    onCancel: stop,
  });
  const agent = known.find((each) => each.id === state?.session.agent_id);
  const mine = outgoing.filter((entry) => entry.sessionId === id && !entry.edits);
  const title = state?.session.title || words(state ? "untitled" : "newChat");
  const readOnly = Boolean(state?.session.read_only || state?.session.quarantined);
  const usage = state?.turns.filter((turn) => isTerminal(turn.status)).at(-1)?.usage;
  return (
    <AssistantRuntimeProvider runtime={runtime}>
      <title>{`${open.length ? "● " : ""}${title} · Legato`}</title>
      <TopBar title={title} onMenu={onMenu}>
        {agent?.demo && <span className="badge">{words("demo")}</span>}
        {state?.gauge && <Gauge gauge={state.gauge} />}
        <a className="quiet" href={client.exportUrl(id, "markdown")} download>{words("export")}</a>
      </TopBar>
      <ThreadPrimitive.Root className="thread">
        <ThreadPrimitive.Viewport className="scroll" autoScroll>
          {connection === "gone" && <div className="welcome"><h2>{words("goneTitle")}</h2><p>{words("goneBody")}</p></div>}
          {!state && connection !== "gone" && mine.length === 0 && <p className="opening">{words("opening")}</p>}
          <div className="column log" role="log" aria-label={title}>
            {state?.has_more && <button type="button" className="earlier" onClick={() => void act(() => conversation.earlier())}>{words("earlier")}</button>}
            <ConversationContext value={shown}>
              <ThreadPrimitive.Messages>{() => <MessageView />}</ThreadPrimitive.Messages>
            </ConversationContext>
            {mine.map((entry) => <Outgoing key={entry.messageId} entry={entry} />)}
            {state?.approvals.map((approval) => <ApprovalCard key={approval.id} approval={approval} />)}
          </div>
        </ThreadPrimitive.Viewport>
        <div className="column bottom">
          <ThreadPrimitive.ScrollToBottom className="latest" aria-label={words("latest")}>↓</ThreadPrimitive.ScrollToBottom>
          <Waiting messages={shown.waiting} />
          {readOnly && state ? <ReadOnly session={state.session} /> : (
            <Composer
              sessionId={id} running={busy} stopping={stopping !== null && stopping === open[0]?.id}
              disabled={connection === "gone"} onStop={() => void stop()}
            />
          )}
          <Link connection={connection}>
            {running && <span className="phase">{[words(running.phase ?? "answering"), running.detail].filter(Boolean).join(": ")}</span>}
            {usage?.total_tokens ? (
              <span id="usage">
                {usage.estimated ? "≈ " : ""}{words("tokens", { n: usage.total_tokens })}
                {usage.cost_usd == null ? "" : ` · $${usage.cost_usd.toFixed(4)}`}
              </span>
            ) : null}
          </Link>
        </div>
      </ThreadPrimitive.Root>
    </AssistantRuntimeProvider>
  );
}

function ReadOnly({ session }: { session: Session }) {
  const words = useWords();
  return (
    <p className="read-only">
      {words(session.quarantined ? "quarantined" : "closed")}{" "}
      {!session.quarantined && <button type="button" onClick={() => void act(() => client.reopen(session.id))}>{words("reopen")}</button>}
    </p>
  );
}
