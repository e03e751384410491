import type { Mode } from "legato-client";
import { useWords, type Word } from "../i18n";

interface Props {
  running: boolean;
  stopping: boolean;
  /** Something is written, or attached. */
  hasWords: boolean;
  maySend: boolean;
  mode: Mode;
  onMode: (mode: Mode) => void;
  onStop: () => void;
}

const MODES: readonly { mode: Mode; name: Word; says: Word }[] = [
  { mode: "queue", name: "queueIt", says: "queueSays" },
  { mode: "interrupt", name: "interrupt", says: "interruptSays" },
  { mode: "steer", name: "steer", says: "steerSays" },
];

/** The button sends; while an answer runs it stops, until there is something to send again. */
export function SendButtons({ running, stopping, hasWords, maySend, mode, onMode, onStop }: Props) {
  const words = useWords();
  const says = MODES.find((each) => each.mode === mode)?.says;
  return (
    <div className="composer-end">
      {running && (
        <select id="mode" value={mode} aria-label={words("whileRunning")} title={says && words(says)} onChange={(event) => onMode(event.target.value as Mode)}>
          {MODES.map((each) => <option key={each.mode} value={each.mode}>{words(each.name)}</option>)}
        </select>
      )}
      {running && <button type="button" className={hasWords ? "quiet" : ""} onClick={onStop} disabled={stopping}>{words(stopping ? "stopping" : "stop")}</button>}
      {(!running || hasWords) && <button type="submit" className="primary" disabled={!maySend}>{words("send")}</button>}
    </div>
  );
}
