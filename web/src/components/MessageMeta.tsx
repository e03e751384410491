import { isTerminal, type Message } from "legato-client";
import { useContext } from "react";
import { useWords } from "../i18n";
import type { Words } from "../i18n/en";
import { legato } from "../state/legato";
import { BranchSwitcher } from "./BranchSwitcher";
import { ConversationContext } from "./ConversationContext";
import { CopyButton } from "./CopyButton";
import { plainText } from "./plainText";

const ENDINGS: Partial<Record<Message["status"], keyof Words>> = { cancelled: "cancelled", failed: "failed", incomplete: "incomplete" };

/** What stands under a message: how it ended, what was used, what can be done with it. */
export function MessageMeta({ message, isLast, onEdit }: { message: Message; isLast: boolean; onEdit: () => void }) {
  const words = useWords();
  const { state, busy } = useContext(ConversationContext);
  if (!state || !isTerminal(message.status)) return null;
  const last = state.turns.filter((turn) => isTerminal(turn.status)).at(-1);
  // A turn may end before it has an answer (no agent, no upstream): then its word stands under the question.
  const unanswered = message.role === "user" && isLast && last?.message_id === message.id && !busy;
  const turn = unanswered ? last : state.turns.find((each) => each.id === message.turn_id);
  const source = unanswered && last ? last : message;
  const ended = message.role === "assistant" || unanswered ? ENDINGS[source.status] : undefined;
  const why = turn?.text ?? source.error?.message ?? (turn?.reason && words(turn.reason as keyof Words));
  const mayAct = !busy && !state.session.read_only;
  const notices = state.notices.filter((notice) => notice.turn_id === message.turn_id && message.role === "assistant");
  const again = (how: "continue" | "retry") => () => legato.again(message.session_id, turn?.id ?? message.turn_id, how);
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
