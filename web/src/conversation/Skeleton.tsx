import type { LegatoError } from "legato-client";
import { useWords } from "../i18n";

/** While a conversation opens; and what keeps it from that. */
export function Skeleton({ error }: { error: LegatoError | undefined }) {
  const words = useWords();
  return (
    <div className="scroll">
      <div className="column log skeleton" role="status" aria-label={words("opening")}>
        {["asked", "short", "long", "asked", "long", "short"].map((kind, index) => <span key={index} className={kind} />)}
        {error && error.status !== 0 && <p className="bad" dir="auto">{error.detail}</p>}
      </div>
    </div>
  );
}
