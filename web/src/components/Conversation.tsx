import { AssistantRuntimeProvider, ThreadPrimitive, useExternalStoreRuntime, type AppendMessage, type ThreadMessageLike } from "@assistant-ui/react";
import { isTerminal, type Message, type State } from "legato-client";
import { useMemo, useState, useSyncExternalStore } from "react";
import { useWords } from "../i18n";
import { legato, useLegato } from "../state/legato";
import { ApprovalCard } from "./ApprovalCard";
import { Composer } from "./Composer";
import { ConversationContext } from "./ConversationContext";
import { Link } from "./Link";
import { MessageView } from "./MessageView";
import { Outgoing } from "./Outgoing";
import { TopBar } from "./TopBar";
import { Waiting } from "./Waiting";

/** Ours, as assistant-ui wants it; what is drawn is taken from `custom`. Called once for each object. */
function convertMessage(message: Message): ThreadMessageLike {
  const text = message.parts.map((part) => (part.type === "text" ? part.text : "")).join("");
  return { id: message.id, role: message.role, content: [{ type: "text", text }], metadata: { custom: { message } } };
}
const textOf = ({ content }: AppendMessage): string => content.map((part) => (part.type === "text" ? part.text : "")).join("");
const NONE: readonly Message[] = [];

export function Conversation({ id, onMenu }: { id: string; onMenu: () => void }) {
  const words = useWords();
  const follower = legato.follower(id);
  const { state, connection } = useSyncExternalStore(follower.subscribe, follower.read);
  const { agents, outgoing } = useLegato();
  const [stopping, setStopping] = useState<string | null>(null);
  const open = state?.turns.filter((turn) => !isTerminal(turn.status)) ?? [];
  const running = open.find((turn) => turn.status === "in_progress");
  const busy = open.length > 0;
  const stop = () => {
    const turn = open[0];
    if (!turn) return;
    setStopping(turn.id);
    void legato.act("POST", `v1/sessions/${id}/turns/${turn.id}/cancel`);
  };
  const runtime = useExternalStoreRuntime<Message>({
    messages: state?.messages ?? NONE,
    isRunning: busy,
    convertMessage,
    onNew: async (message) => void legato.send(id, textOf(message), "queue"),
    onCancel: async () => stop(),
  });
  const agent = agents.find((each) => each.id === state?.session.agent_id);
  const mine = outgoing.filter((entry) => entry.session === id && !entry.edits);
  const context = useMemo(() => ({ state, busy }), [state, busy]);
  const title = state?.session.title || words(state ? "untitled" : "newChat");
  const readOnly = Boolean(state?.session.read_only || state?.session.quarantined);
  const usage = state?.turns.filter((turn) => isTerminal(turn.status)).at(-1)?.usage;
  return (
    <AssistantRuntimeProvider runtime={runtime}>
      <title>{`${open.length ? "● " : ""}${title} · Legato`}</title>
      <TopBar title={title} agent={agent} gauge={state?.gauge ?? null} onMenu={onMenu}>
        <a className="quiet" href={`v1/sessions/${id}/export?format=markdown`} download>{words("export")}</a>
      </TopBar>
      <ThreadPrimitive.Root className="thread">
        <ThreadPrimitive.Viewport className="scroll" autoScroll>
          {connection === "gone" && <div className="welcome"><h2>{words("goneTitle")}</h2><p>{words("goneBody")}</p></div>}
          {!state && connection !== "gone" && mine.length === 0 && <p className="opening">{words("opening")}</p>}
          <div className="column log" role="log" aria-label={title}>
            {state?.has_more && <button type="button" className="earlier" onClick={() => void follower.earlier()}>{words("earlier")}</button>}
            <ConversationContext value={context}>
              <ThreadPrimitive.Messages>{() => <MessageView />}</ThreadPrimitive.Messages>
            </ConversationContext>
            {mine.map((entry) => <Outgoing key={entry.message_id} entry={entry} />)}
            {state?.approvals.map((approval) => <ApprovalCard key={approval.id} approval={approval} />)}
          </div>
        </ThreadPrimitive.Viewport>
        <div className="column bottom">
          <ThreadPrimitive.ScrollToBottom className="latest" aria-label={words("latest")}>↓</ThreadPrimitive.ScrollToBottom>
          {state && <Waiting state={state} />}
          {readOnly && state ? <ReadOnly state={state} /> : (
            <Composer
              draftOf={id} running={busy} stopping={stopping !== null && stopping === open[0]?.id}
              disabled={connection === "gone"} onSend={(text, mode) => legato.send(id, text, mode)} onStop={stop}
            />
          )}
          <Link connection={connection}>
            {running && <span className="phase">{[words(running.phase ?? "answering"), running.detail].filter(Boolean).join(": ")}</span>}
            {usage?.total_tokens ? (
              <span id="usage">
                {usage.estimated ? "≈ " : ""}{words("tokens", { n: usage.total_tokens.toLocaleString() })}
                {usage.cost_usd == null ? "" : ` · $${usage.cost_usd.toFixed(4)}`}
              </span>
            ) : null}
          </Link>
        </div>
      </ThreadPrimitive.Root>
    </AssistantRuntimeProvider>
  );
}

function ReadOnly({ state }: { state: State }) {
  const words = useWords();
  const damaged = state.session.quarantined;
  return (
    <p className="read-only">
      {words(damaged ? "quarantined" : "closed")}{" "}
      {!damaged && <button type="button" onClick={() => void legato.act("POST", `v1/sessions/${state.session.id}/reopen`)}>{words("reopen")}</button>}
    </p>
  );
}
