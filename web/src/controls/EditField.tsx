import { useEffect, useRef, useState } from "react";
import type { Change, Draft, DraftStore } from "../composer/drafts";
import { useWords } from "../i18n";
import { focusBack } from "./focusBack";
import { isComposing } from "./isComposing";

interface Props {
  text: string;
  /** Whether it is done; else it goes on. */
  onSave: (text: string) => Promise<boolean>;
  onCancel: () => void;
  /** Where changed words go that are neither saved nor given up, if this is taken away or the page goes. */
  draft: DraftStore;
  onLose: (now: Draft, text: string) => Draft;
}

export function EditField({ text, onSave, onCancel, draft, onLose }: Props) {
  const words = useWords();
  const [original] = useState(text);
  const [written, setWritten] = useState(text);
  const kept = useRef({ written, onLose, settled: false, gone: false });
  const field = useRef<HTMLDivElement>(null);
  const [change] = useState<Change>(() => (now: Draft) => {
    const { current } = kept;
    return current.written.trim() && current.written !== original ? current.onLose(now, current.written) : now;
  });
  const lose = () => {
    draft.put(change(draft.read()));
    draft.endLoan(change);
  };
  useEffect(() => {
    kept.current.onLose = onLose;
  });
  useEffect(() => {
    const { current } = kept;
    const place = field.current?.parentElement;
    current.gone = false;
    return () => {
      current.gone = true;
      if (!current.settled) lose();
      focusBack(place?.querySelector("[data-edits]"));
    };
    // eslint-disable-next-line react-hooks/exhaustive-deps -- whatever it is given anew, it goes once
  }, []);
  const save = async () => {
    const { current } = kept;
    if (!written.trim()) return;
    current.settled = true;
    if (await onSave(written.trim())) draft.endLoan(change);
    else if (current.gone) lose();
    else current.settled = false;
  };
  const cancel = () => {
    kept.current.settled = true;
    draft.endLoan(change);
    onCancel();
  };
  return (
    <div ref={field} className="edit-field">
      <textarea
        value={written} aria-label={words("edit")} autoFocus dir="auto"
        onChange={(event) => {
          setWritten(event.target.value);
          kept.current.written = event.target.value;
          draft.lend(change);
        }}
        onKeyDown={(event) => {
          // While an input method composes, Enter picks a word and Escape refuses it.
          if (isComposing(event)) return;
          if (event.key === "Escape") cancel();
          else if (event.key === "Enter" && !event.shiftKey) void save();
          else return;
          event.preventDefault();
        }}
      />
      <div className="buttons">
        <button type="button" onClick={cancel}>{words("cancel")}</button>
        <button type="button" className="primary" onClick={() => void save()}>{words("save")}</button>
      </div>
    </div>
  );
}
