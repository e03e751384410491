import type { Message } from "legato-client";
import { useWords } from "../i18n";
import { legato, useLegato } from "../state/legato";

/** "2 of 3": the versions of a question or an answer. */
export function BranchSwitcher({ message, disabled }: { message: Message; disabled: boolean }) {
  const words = useWords();
  const siblings = useLegato().branches[message.id];
  if (!siblings || siblings.length < 2) return null;
  const at = siblings.indexOf(message.id);
  const go = (to: number) => () => void legato.act("PUT", `v1/sessions/${message.session_id}/leaf`, { message_id: siblings[to] });
  return (
    <span className="branches">
      <button type="button" className="quiet" aria-label={words("previous")} disabled={disabled || at <= 0} onClick={go(at - 1)}>‹</button>
      <span>{words("ofVersions", { at: at + 1, all: siblings.length })}</span>
      <button type="button" className="quiet" aria-label={words("next")} disabled={disabled || at >= siblings.length - 1} onClick={go(at + 1)}>›</button>
    </span>
  );
}
