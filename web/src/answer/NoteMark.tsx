import { useWords } from "../i18n";

/** A footnote's mark: leads to the note, which stands where it was written. */
export function NoteMark({ label }: { label: string }) {
  const words = useWords();
  const show = (mark: Element) => {
    const notes = [...(mark.closest(".markdown")?.querySelectorAll<HTMLElement>(".note") ?? [])];
    const note = notes.find((each) => each.dataset["label"]?.toLowerCase() === label.toLowerCase());
    if (!note) return;
    note.tabIndex = -1;
    note.focus();
  };
  return <sup><button type="button" className="note-mark" aria-label={words("note", { label })} onClick={(event) => show(event.currentTarget)}>{label}</button></sup>;
}
