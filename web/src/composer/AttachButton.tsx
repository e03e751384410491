import { useRef } from "react";
import { useWords } from "../i18n";

const TAKEN = "image/png,image/jpeg,image/gif,image/webp,application/pdf,text/*,.md,.json,.csv";

export function AttachButton({ disabled, onFiles }: { disabled: boolean; onFiles: (files: Iterable<File>) => void }) {
  const words = useWords();
  const chooser = useRef<HTMLInputElement>(null);
  return (
    <>
      <input
        id="attach" ref={chooser} type="file" multiple hidden accept={TAKEN}
        onChange={(event) => { onFiles(event.target.files ?? []); event.target.value = ""; }}
      />
      <button type="button" className="quiet plus" aria-label={words("attach")} title={words("attachTitle")} disabled={disabled} onClick={() => chooser.current?.click()}>+</button>
    </>
  );
}
