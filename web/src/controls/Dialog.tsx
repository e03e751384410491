import { useEffect, useRef, type MouseEvent, type ReactNode } from "react";
import { focusBack } from "./focusBack";
import "./controls.css";

interface Props {
  title: string;
  /** The title is for those who hear it only. */
  isBare?: boolean;
  /** There is something in it that a click beside it must not end. */
  isHeld?: boolean;
  children: ReactNode;
  onClose: () => void;
}

/** A modal dialog: the browser keeps the focus in it, Escape closes it, and the focus goes back to where it was. */
export function Dialog({ title, isBare = false, isHeld = false, children, onClose }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const beganBeside = useRef(false);
  useEffect(() => {
    const opener = document.activeElement;
    if (dialog.current && !dialog.current.open) dialog.current.showModal();
    return () => focusBack(opener);
  }, []);
  return (
    <dialog
      ref={dialog} className={isBare ? "dialog bare" : "dialog"} aria-label={title} onClose={onClose}
      // At once: the browser tells that it has closed it in a task of its own, and the next key may come before that.
      onCancel={(event) => { event.preventDefault(); onClose(); }}
      // Text that is selected from within, and let go of beside it, is no wish to leave.
      onPointerDown={(event) => { beganBeside.current = isBeside(event); }}
      onClick={(event) => { if (!isHeld && beganBeside.current && isBeside(event)) onClose(); }}
    >
      {!isBare && <h2>{title}</h2>}
      {children}
    </dialog>
  );
}

/** Outside of the dialog: its own padding counts as it, too. */
function isBeside({ target, currentTarget, clientX, clientY }: MouseEvent<HTMLDialogElement>): boolean {
  const { left, right, top, bottom } = currentTarget.getBoundingClientRect();
  return target === currentTarget && (clientX < left || clientX > right || clientY < top || clientY > bottom);
}
