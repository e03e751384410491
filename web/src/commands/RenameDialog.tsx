import type { Session } from "legato-client";
import { useState } from "react";
import { Dialog } from "../controls/Dialog";
import { useWords } from "../i18n";
import { sessions } from "../state/sessions";

export function RenameDialog({ session, onClose }: { session: Session; onClose: () => void }) {
  const words = useWords();
  const [title, setTitle] = useState(session.title ?? "");
  const save = () => {
    onClose();
    if (title.trim() && title.trim() !== session.title) void sessions.change(session.id, { title: title.trim() });
  };
  return (
    <Dialog title={words("renameChat")} isHeld onClose={onClose}>
      <form method="dialog" onSubmit={(event) => { event.preventDefault(); save(); }}>
        <input
          className="field" autoFocus aria-label={words("chatName")} value={title} maxLength={200} dir="auto"
          onFocus={(event) => event.target.select()} onChange={(event) => setTitle(event.target.value)}
        />
        <div className="buttons">
          <button type="button" onClick={onClose}>{words("cancel")}</button>
          <button type="submit" className="primary" disabled={!title.trim()}>{words("saveTemplate")}</button>
        </div>
      </form>
    </Dialog>
  );
}
