import { isTerminal, type Message } from "legato-client";
import { isWord, useWords, type Word } from "../i18n";
import { client } from "../state/client";
import { openTurns } from "../state/conversations";
import { act } from "../state/problem";
import { BranchSwitcher } from "./BranchSwitcher";
import { useConversation } from "./ConversationContext";
import { CopyButton } from "../controls/CopyButton";
import { plainText } from "./plainText";

const ENDINGS: Partial<Record<Message["status"], Word>> = { cancelled: "cancelled", failed: "failed", incomplete: "incomplete" };

/** What stands under a message: how it ended, what was used, what can be done with it. */
export function MessageMeta({ message, isLast, onEdit }: { message: Message; isLast: boolean; onEdit: () => void }) {
  const words = useWords();
  const { state, notices: all } = useConversation();
  if (!state || !isTerminal(message.status)) return null;
  const busy = openTurns(state).length > 0;
  const last = state.turns.filter((turn) => isTerminal(turn.status)).at(-1);
  // A turn may end before it has an answer (no agent, no upstream): then its word stands under the question.
  const unanswered = message.role === "user" && isLast && last?.message_id === message.id && !busy;
  const turn = unanswered ? last : state.turns.find((each) => each.id === message.turn_id);
  const source = unanswered && last ? last : message;
  const ended = message.role === "assistant" || unanswered ? ENDINGS[source.status] : undefined;
  const why = turn?.text ?? source.error?.message ?? (turn?.reason && isWord(turn.reason) ? words(turn.reason) : undefined);
  const mayAct = !busy && !state.session.read_only;
  const notices = all.filter((notice) => notice.turnId === message.turn_id && message.role === "assistant");
  const again = (how: "continue" | "retry") => () => {
    const turnId = turn?.id ?? message.turn_id;
    void act(() => (how === "continue" ? client.continue_(message.session_id, turnId) : client.retry(message.session_id, turnId)));
  };
  return (
    <footer className="meta">
      {notices.map((notice) => <span key={notice.code} className="warn">{notice.text}</span>)}
      {ended && <span className={ended === "failed" ? "bad" : "warn"} dir="auto">{[words(ended), why].filter(Boolean).join(": ")}</span>}
      {ended && isLast && mayAct && !unanswered && <button type="button" className="quiet" onClick={again("continue")}>{words("continue")}</button>}
      {isLast && mayAct && (ended || message.role === "assistant") && (
        <button type="button" className="quiet" onClick={again("retry")}>{words(ended ? "retry" : "regenerate")}</button>
      )}
      <CopyButton text={() => plainText(message)} />
      {message.role === "user" && mayAct && <button type="button" className="quiet" onClick={onEdit}>{words("edit")}</button>}
      <BranchSwitcher message={message} disabled={!mayAct} />
    </footer>
  );
}
