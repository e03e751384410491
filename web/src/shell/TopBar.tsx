import { useEffect, useRef, type ReactNode } from "react";
import { Icon } from "../controls/Icon";
import { useWords } from "../i18n";
import { route } from "../state/route";
import { usePhone } from "./usePhone";

let hasNavigated = false;
route.subscribe(() => (hasNavigated = true));

/** The head of every page: what is shown, and what can be done with it. */
export function TopBar({ title, children, onMenu }: { title: string; children?: ReactNode; onMenu: () => void }) {
  const words = useWords();
  const onPhone = usePhone();
  // Beside the list, the button folds it away; in focus mode the rail has it.
  const says = words(onPhone ? "menu" : "focusOn");
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    // Whoever came here by a link or a key goes on from here, unless the composer takes the focus, as it does where there are keys.
    const composes = document.getElementById("text") !== null && matchMedia("(hover: hover)").matches;
    if (hasNavigated && !composes && !document.querySelector("dialog[open]")) heading.current?.focus({ preventScroll: true });
  }, []);
  return (
    <header className="top">
      <button type="button" className="quiet menu-button" aria-label={says} title={says} onClick={onMenu}><Icon name={onPhone ? "chats" : "fold"} /></button>
      <h1 ref={heading} tabIndex={-1} dir="auto">{title}</h1>
      {children}
    </header>
  );
}
