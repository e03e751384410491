import { useWords } from "../i18n";
import { MOST_CHARACTERS } from "./limits";

/** How long the text is where it nears the limit, and what can be done beyond it. */
export function Count({ count, onAttach }: { count: number; onAttach: () => void }) {
  const words = useWords();
  const over = count - MOST_CHARACTERS;
  if (over <= 0) return <p id="count" className="count">{words("characters", { n: count, all: MOST_CHARACTERS })}</p>;
  return (
    <p id="count" className="count bad" role="alert">
      {words("tooLong", { n: over })} <button type="button" className="quiet" onClick={onAttach}>{words("asFile")}</button>
    </p>
  );
}
