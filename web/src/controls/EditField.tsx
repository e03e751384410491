import { useState } from "react";
import { useWords } from "../i18n";

export function EditField({ text, onSave, onCancel }: { text: string; onSave: (text: string) => void; onCancel: () => void }) {
  const words = useWords();
  const [draft, setDraft] = useState(text);
  const save = () => draft.trim() && onSave(draft.trim());
  return (
    <div className="edit-field">
      <textarea
        value={draft} aria-label={words("edit")} autoFocus dir="auto" onChange={(event) => setDraft(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") onCancel();
          if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) { event.preventDefault(); save(); }
        }}
      />
      <div className="buttons">
        <button type="button" onClick={onCancel}>{words("cancel")}</button>
        <button type="button" className="primary" onClick={save}>{words("save")}</button>
      </div>
    </div>
  );
}
