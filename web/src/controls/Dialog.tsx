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
    return () => {
      if (document.activeElement !== document.body) return;
      const wayBack = opener instanceof HTMLElement && opener.isConnected && opener !== document.body ? opener : document.getElementById("text");
      wayBack?.focus({ preventScroll: true });
    };
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
