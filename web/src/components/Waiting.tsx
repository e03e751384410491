import type { Message, State } from "legato-client";
import { useState } from "react";
import { useWords } from "../i18n";
import { legato } from "../state/legato";
import { EditField } from "./EditField";
import { plainText } from "./plainText";

/** What is asked next, as long as it can be changed. */
export function Waiting({ state }: { state: State }) {
  const words = useWords();
  if (!state.waiting.length) return null;
  return (
    <section className="waiting" aria-label={words("waiting")}>
      <h2>{words("waiting")}</h2>
      <ol>{state.waiting.map((message) => <WaitingMessage key={message.id} message={message} />)}</ol>
    </section>
  );
}

function WaitingMessage({ message }: { message: Message }) {
  const words = useWords();
  const [editing, setEditing] = useState(false);
  const path = `v1/sessions/${message.session_id}/turns/${message.turn_id}`;
  if (editing) {
    const save = (text: string) => { setEditing(false); void legato.act("PATCH", path, { text }); };
    return <li><EditField text={plainText(message)} onSave={save} onCancel={() => setEditing(false)} /></li>;
  }
  return (
    <li data-status="queued">
      <span dir="auto">{plainText(message)}</span>
      <button type="button" className="quiet" onClick={() => setEditing(true)}>{words("edit")}</button>
      <button type="button" className="quiet" onClick={() => void legato.act("DELETE", path)}>{words("withdraw")}</button>
    </li>
  );
}
