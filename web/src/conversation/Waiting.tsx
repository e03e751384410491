import type { Message } from "legato-client";
import { useState, type KeyboardEvent } from "react";
import { giveBack } from "../composer/asides";
import { draftOf } from "../composer/drafts";
import { EditField } from "../controls/EditField";
import { useRowsFocus } from "../controls/useRowsFocus";
import { useWords } from "../i18n";
import { client } from "../state/client";
import { act } from "../state/problem";
import { plainText } from "./plainText";
import { turnBefore } from "./turnBefore";

interface Props {
  messages: readonly Message[];
  /** Stops what runs, so that the first of these is next. */
  onInterrupt: (() => void) | undefined;
}

/** What is asked next, as long as it can be changed. */
export function Waiting({ messages, onInterrupt }: Props) {
  const words = useWords();
  const rows = useRowsFocus();
  if (messages.length === 0) return null;
  const order = messages.map((message) => message.turn_id);
  const move = (at: number, by: -1 | 1) => {
    const [message, before] = [messages[at], turnBefore(order, at, by)];
    if (message && before !== undefined) void act(() => client.amend(message.session_id, message.turn_id, { before }));
  };
  return (
    <section className="waiting" aria-label={words("waiting")}>
      <h2>{words("waiting")}</h2>
      {onInterrupt && <button type="button" className="quiet" onClick={onInterrupt}>{words("interruptNow")}</button>}
      <ol {...rows}>{messages.map((message, at) => <WaitingMessage key={message.id} message={message} at={at} of={messages.length} onMove={(by) => move(at, by)} />)}</ol>
    </section>
  );
}

function WaitingMessage({ message, at, of, onMove }: { message: Message; at: number; of: number; onMove: (by: -1 | 1) => void }) {
  const words = useWords();
  const [editing, setEditing] = useState(false);
  const { session_id: sessionId, turn_id: turnId } = message;
  if (editing) {
    const save = async (text: string) => {
      const done = (await act(() => client.amend(sessionId, turnId, { text }))) !== undefined;
      if (done) setEditing(false);
      return done;
    };
    return (
      <li>
        <EditField
          text={plainText(message)} onSave={save} onCancel={() => setEditing(false)}
          draft={draftOf(sessionId)} onLose={(now, changed) => giveBack(now, { text: changed })}
        />
      </li>
    );
  }
  const onKey = (event: KeyboardEvent) => {
    if (!event.altKey || !["ArrowUp", "ArrowDown"].includes(event.key)) return;
    event.preventDefault();
    onMove(event.key === "ArrowUp" ? -1 : 1);
  };
  return (
    <li data-status="queued" tabIndex={0} onKeyDown={onKey} aria-keyshortcuts="Alt+ArrowUp Alt+ArrowDown">
      <span dir="auto">{plainText(message)}</span>
      {of > 1 && <button type="button" className="quiet" aria-label={words("moveUp")} disabled={at === 0} onClick={() => onMove(-1)}>↑</button>}
      {of > 1 && <button type="button" className="quiet" aria-label={words("moveDown")} disabled={at === of - 1} onClick={() => onMove(1)}>↓</button>}
      <button type="button" className="quiet" data-edits onClick={() => setEditing(true)}>{words("edit")}</button>
      <button type="button" className="quiet" onClick={() => void act(() => client.withdraw(sessionId, turnId))}>{words("withdraw")}</button>
    </li>
  );
}
