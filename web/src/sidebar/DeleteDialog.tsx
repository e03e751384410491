import type { Session } from "legato-client";
import { useWords } from "../i18n";
import { Dialog } from "../controls/Dialog";

export function DeleteDialog({ session, onDelete, onClose }: { session: Session; onDelete: () => void; onClose: () => void }) {
  const words = useWords();
  return (
    <Dialog title={words("deleteTitle")} onClose={onClose}>
      <p>{words("deleteBody", { title: session.title || words("untitled") })}</p>
      <div className="buttons">
        <button type="button" onClick={onClose}>{words("cancel")}</button>
        <button type="button" className="danger" onClick={onDelete}>{words("delete")}</button>
      </div>
    </Dialog>
  );
}
