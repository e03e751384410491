import type { Memory } from "legato-client";
import { useEffect, useRef, useState } from "react";
import { Confirm } from "../../controls/Confirm";
import { focusBack } from "../../controls/focusBack";
import { isComposing } from "../../controls/isComposing";
import { spoken, useWords } from "../../i18n";
import { agents } from "../../state/catalog";
import { useStore } from "../../state/store";
import { dayOf } from "../when";
import { memories } from "./memories";

/** The server takes no longer ones. */
const MOST_CHARS = 200;

export function MemoryItem({ memory }: { memory: Memory }) {
  const words = useWords();
  const [editing, setEditing] = useState(false);
  const [asking, setAsking] = useState(false);
  const agent = useStore(agents).find(({ id }) => id === memory.agent_id)?.name ?? memory.agent_id;
  const { text } = memory;
  if (editing) return <li className="memory"><MemoryField memory={memory} onDone={() => setEditing(false)} /></li>;
  return (
    <li className="memory">
      <div className="memory-words">
        <p dir="auto">{text}</p>
        <p className="memory-from">
          <span className="memory-kind">{memory.kind}</span>
          <span>{agent}</span>
          <time dateTime={memory.changed_at}>{dayOf(memory.changed_at, spoken())}</time>
          {memory.edited && <span>{words("memoryEdited")}</span>}
          <a href={`#${memory.session_id}/${memory.message_id}`}>{words("memorySource")}</a>
        </p>
      </div>
      <button type="button" className="quiet" data-edits aria-label={words("memoryEdit", { text })} onClick={() => setEditing(true)}>{words("edit")}</button>
      <button type="button" className="quiet" aria-label={words("memoryForgetThis", { text })} onClick={() => setAsking(true)}>{words("memoryForget")}</button>
      {asking && (
        <Confirm
          title={words("memoryForgetTitle")} body={words("memoryForgetBody", { text })} action={words("memoryForget")}
          onAgree={() => void memories.forget(memory.id)} onClose={() => setAsking(false)}
        />
      )}
    </li>
  );
}

function MemoryField({ memory, onDone }: { memory: Memory; onDone: () => void }) {
  const words = useWords();
  const [draft, setDraft] = useState(memory.text);
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    const place = form.current?.parentElement;
    return () => focusBack(place?.querySelector("[data-edits]"));
  }, []);
  const save = async () => {
    if (draft.trim() === "" || draft.trim() === memory.text || (await memories.edit(memory.id, draft.trim()))) onDone();
  };
  return (
    <form ref={form} className="memory-field" onSubmit={(event) => { event.preventDefault(); void save(); }}>
      <input
        value={draft} maxLength={MOST_CHARS} aria-label={words("memoryText")} autoFocus dir="auto"
        onChange={(event) => setDraft(event.target.value)} onKeyDown={(event) => event.key === "Escape" && !isComposing(event) && onDone()}
      />
      <button type="button" onClick={onDone}>{words("cancel")}</button>
      <button type="submit" className="primary">{words("memorySave")}</button>
    </form>
  );
}
