import { Dialog } from "../controls/Dialog";
import { useWords } from "../i18n";

/** A message that is looked for stands in another version of the conversation. */
export function OtherBranch({ onGo, onClose }: { onGo: () => void; onClose: () => void }) {
  const words = useWords();
  return (
    <Dialog title={words("otherBranch")} onClose={onClose}>
      <p>{words("otherBranchBody")}</p>
      <div className="buttons">
        <button type="button" onClick={onClose}>{words("cancel")}</button>
        <button type="button" className="primary" onClick={onGo}>{words("switchBranch")}</button>
      </div>
    </Dialog>
  );
}
