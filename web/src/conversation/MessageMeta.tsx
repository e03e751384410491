import { isTerminal } from "legato-client";
import { CopyButton } from "../controls/CopyButton";
import { copyText } from "../controls/copyText";
import { useWords } from "../i18n";
import { client } from "../state/client";
import { fork, goOn } from "../state/conversations";
import { act } from "../state/problem";
import { BranchSwitcher } from "./BranchSwitcher";
import { ending } from "./ending";
import { MenuButton } from "./MenuButton";
import { MessageFacts } from "./MessageFacts";
import type { MessageProps } from "./MessageView";
import { ModelMenu } from "./ModelMenu";
import { plainText, wholeText } from "./plainText";

/** What stands under a message: how it ended, what was used, what can be done with it. */
export function MessageMeta({ message, isLast, busy, readOnly, turn, siblings, notices, onEdit }: MessageProps) {
  const words = useWords();
  if (!isTerminal(message.status)) return null;
  const { session_id: sessionId } = message;
  const turnId = turn?.id ?? message.turn_id;
  const isAnswer = message.role === "assistant";
  // A turn may end before it has an answer (no agent, no upstream): then its word stands under the question.
  const unanswered = !isAnswer && isLast && !busy && turn?.message_id === message.id;
  const end = isAnswer || unanswered ? ending(unanswered && turn ? turn : message, turn, words) : null;
  const mayAct = !busy && !readOnly;
  const told = isAnswer ? notices.filter((notice) => notice.turnId === turnId) : [];
  const dropped = isAnswer ? (turn?.context?.dropped ?? 0) : 0;
  const again = (how: "continue_" | "retry") => () => void goOn(sessionId, turnId, how);
  return (
    <footer className="meta">
      {message.pinned && <span className="pinned">{words("pinnedMessage")}</span>}
      {told.map((notice) => <span key={notice.code} className="warn" dir="auto">{notice.text}</span>)}
      {dropped > 0 && <span className="warn">{words("dropped", { n: dropped })}</span>}
      {end && <span className={end.bad ? "bad" : "warn"} dir="auto">{end.text}</span>}
      {end && isLast && mayAct && isAnswer && <button type="button" className="quiet" onClick={again("continue_")}>{words("continue")}</button>}
      {isLast && mayAct && (end || isAnswer) && (
        <button type="button" className="quiet" onClick={again("retry")}>{words(end ? "retry" : "regenerate")}</button>
      )}
      {isLast && mayAct && isAnswer && message.parent_id && <ModelMenu message={message} />}
      <CopyButton text={() => plainText(message)} />
      {!isAnswer && mayAct && <button type="button" className="quiet" data-edits onClick={() => onEdit(message.id)}>{words("edit")}</button>}
      <BranchSwitcher message={message} siblings={siblings} disabled={!mayAct} />
      <MenuButton label={words("moreOfMessage")} items={[
        [words("copyWhole"), () => void copyText(wholeText(message))],
        [words("forkHere"), () => void fork(sessionId, message.id)],
        ...(readOnly ? [] : [[words(message.pinned ? "unpinMessage" : "pinMessage"), () => void act(() => client.pin(sessionId, message.id, !message.pinned))] as const]),
      ]} />
      <MessageFacts message={message} />
    </footer>
  );
}
