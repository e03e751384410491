import { useEffect, useRef, type ReactNode } from "react";
import "./controls.css";

interface Props {
  title: string;
  /** The title is for those who hear it only. */
  isBare?: boolean;
  children: ReactNode;
  onClose: () => void;
}

/** A modal dialog: the browser keeps the focus in it, Escape closes it, and the focus goes back to where it was. */
export function Dialog({ title, isBare = false, children, onClose }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const opener = document.activeElement;
    if (dialog.current && !dialog.current.open) dialog.current.showModal();
    return () => giveBack(opener);
  }, []);
  return (
    <dialog
      ref={dialog} className={isBare ? "dialog bare" : "dialog"} aria-label={title} onClose={onClose}
      onClick={(event) => event.target === dialog.current && onClose()}
    >
      {!isBare && <h2>{title}</h2>}
      {children}
    </dialog>
  );
}

/** Where the browser has not given the focus back, to what had it, or else to where one writes. */
function giveBack(opener: Element | null): void {
  const isLost = document.activeElement === document.body;
  const place = !isLost ? document.activeElement : opener?.isConnected && opener !== document.body ? opener : document.getElementById("text");
  if (isLost && place instanceof HTMLElement) place.focus({ preventScroll: true });
  // With a field of the dialog goes Chromium's caret, and a focused field without one takes no keys.
  const isField = place instanceof HTMLTextAreaElement || (place instanceof HTMLInputElement && place.selectionStart !== null);
  if (isField) place.setSelectionRange(place.selectionStart, place.selectionEnd);
}
