import type { Message } from "legato-client";
import { useWords } from "../i18n";
import { client } from "../state/client";
import { act } from "../state/problem";

interface Props {
  message: Message;
  siblings: readonly string[] | undefined;
  disabled: boolean;
}

/** "2 of 3": the versions of a question or an answer. */
export function BranchSwitcher({ message, siblings, disabled }: Props) {
  const words = useWords();
  if (!siblings || siblings.length < 2) return null;
  const at = siblings.indexOf(message.id);
  const go = (to: number) => () => {
    const sibling = siblings[to];
    if (sibling !== undefined) void act(() => client.switchBranch(message.session_id, sibling));
  };
  return (
    <span className="branches">
      <button type="button" className="quiet" aria-label={words("previous")} disabled={disabled || at <= 0} onClick={go(at - 1)}>‹</button>
      <span>{words("ofVersions", { at: at + 1, all: siblings.length })}</span>
      <button type="button" className="quiet" aria-label={words("next")} disabled={disabled || at >= siblings.length - 1} onClick={go(at + 1)}>›</button>
    </span>
  );
}
