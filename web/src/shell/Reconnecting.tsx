import type { LegatoError } from "legato-client";
import { useWords } from "../i18n";
import { useNow } from "../controls/useNow";

/** When the next attempt is made, and a way to make it now. */
export function Reconnecting({ retryAt, error, onTry }: { retryAt: number; error: LegatoError | undefined; onTry: () => void }) {
  const words = useWords();
  const seconds = Math.max(0, Math.ceil((retryAt - useNow(500)) / 1000));
  return (
    <span className="reconnecting">
      {error?.code === "store_unavailable" && <span className="warn">{words("storeAway")}</span>}
      {/* A count that is read aloud every second would drown everything else. */}
      <span aria-hidden="true">{words("nextTry", { n: seconds })}</span>
      <button type="button" className="quiet" onClick={onTry}>{words("tryNow")}</button>
    </span>
  );
}
