import { useEffect, useRef, useState } from "react";
import { useWords } from "../i18n";
import { isComposing } from "./isComposing";

interface Props {
  text: string;
  /** Whether it is done; else it goes on. */
  onSave: (text: string) => Promise<boolean>;
  onCancel: () => void;
  /** It was taken away with changed words in it, neither saved nor given up. */
  onLose: (text: string) => void;
}

export function EditField({ text, onSave, onCancel, onLose }: Props) {
  const words = useWords();
  const [draft, setDraft] = useState(text);
  const kept = useRef({ draft, text, settled: false, gone: false, onLose });
  useEffect(() => {
    Object.assign(kept.current, { draft, onLose });
  });
  useEffect(() => {
    const { current } = kept;
    current.gone = false;
    return () => {
      current.gone = true;
      if (!current.settled && current.draft.trim() && current.draft !== current.text) current.onLose(current.draft);
    };
  }, []);
  const save = async () => {
    const { current } = kept;
    if (!draft.trim()) return;
    current.settled = true;
    if (await onSave(draft.trim())) return;
    if (current.gone) current.onLose(draft);
    else current.settled = false;
  };
  const cancel = () => {
    kept.current.settled = true;
    onCancel();
  };
  return (
    <div className="edit-field">
      <textarea
        value={draft} aria-label={words("edit")} autoFocus dir="auto" onChange={(event) => setDraft(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") cancel();
          if (event.key === "Enter" && !event.shiftKey && !isComposing(event)) { event.preventDefault(); void save(); }
        }}
      />
      <div className="buttons">
        <button type="button" onClick={cancel}>{words("cancel")}</button>
        <button type="button" className="primary" onClick={() => void save()}>{words("save")}</button>
      </div>
    </div>
  );
}
