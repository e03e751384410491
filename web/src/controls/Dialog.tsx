import { useEffect, useRef, type ReactNode } from "react";
import "./controls.css";

/** A modal dialog: the browser keeps the focus in it, and Escape closes it. */
export function Dialog({ title, children, onClose }: { title: string; children: ReactNode; onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (dialog.current && !dialog.current.open) dialog.current.showModal();
  }, []);
  return (
    <dialog ref={dialog} className="dialog" aria-label={title} onClose={onClose} onClick={(event) => event.target === dialog.current && onClose()}>
      <h2>{title}</h2>
      {children}
    </dialog>
  );
}
