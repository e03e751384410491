import type { Message } from "legato-client";
import { useState } from "react";
import { useWords } from "../i18n";
import { client } from "../state/client";
import { act } from "../state/problem";
import { EditField } from "../controls/EditField";
import { plainText } from "./plainText";

/** What is asked next, as long as it can be changed. */
export function Waiting({ messages }: { messages: readonly Message[] }) {
  const words = useWords();
  if (messages.length === 0) return null;
  return (
    <section className="waiting" aria-label={words("waiting")}>
      <h2>{words("waiting")}</h2>
      <ol>{messages.map((message) => <WaitingMessage key={message.id} message={message} />)}</ol>
    </section>
  );
}

function WaitingMessage({ message }: { message: Message }) {
  const words = useWords();
  const [editing, setEditing] = useState(false);
  const { session_id: sessionId, turn_id: turnId } = message;
  if (editing) {
    const save = (text: string) => { setEditing(false); void act(() => client.amend(sessionId, turnId, { text })); };
    return <li><EditField text={plainText(message)} onSave={save} onCancel={() => setEditing(false)} /></li>;
  }
  return (
    <li data-status="queued">
      <span dir="auto">{plainText(message)}</span>
      <button type="button" className="quiet" onClick={() => setEditing(true)}>{words("edit")}</button>
      <button type="button" className="quiet" onClick={() => void act(() => client.withdraw(sessionId, turnId))}>{words("withdraw")}</button>
    </li>
  );
}
