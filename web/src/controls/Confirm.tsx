import { useWords } from "../i18n";
import { Dialog } from "./Dialog";

interface Props {
  title: string;
  body: string;
  /** What is done if one agrees. */
  action: string;
  onAgree: () => void;
  onClose: () => void;
}

/** A question before what can't be undone. The harmless answer has the focus. */
export function Confirm({ title, body, action, onAgree, onClose }: Props) {
  const words = useWords();
  return (
    <Dialog title={title} onClose={onClose}>
      <p>{body}</p>
      <div className="buttons">
        <button type="button" onClick={onClose}>{words("cancel")}</button>
        <button type="button" className="danger" onClick={() => { onClose(); onAgree(); }}>{action}</button>
      </div>
    </Dialog>
  );
}
