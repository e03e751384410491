import { Options } from "../controls/Options";
import { useWords } from "../i18n";
import type { Suggestions } from "./useSuggestions";

export const SUGGESTED = "suggestions";

/** What can complete the word that is being written. */
export function Suggested({ kind, options, active, setActive, pick, onKey }: Suggestions) {
  const words = useWords();
  if (!kind) return null;
  return (
    <div className="suggested" onKeyDown={onKey}>
      <Options id={SUGGESTED} label={words(kind === "command" ? "commands" : "mentions")} options={options} active={active} setActive={setActive} onPick={pick} />
      <p className="suggested-hint">{words(kind === "command" ? "commandHint" : "mentionHint")}</p>
    </div>
  );
}
