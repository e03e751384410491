import { useEffect, useRef, type ReactNode } from "react";
import { toggleSidebar } from "../commands/navigation";
import { useWords } from "../i18n";
import { focusMode } from "../state/choices";
import { route } from "../state/route";
import { useStore } from "../state/store";
import { Icon } from "./Icon";

let hasNavigated = false;
route.subscribe(() => (hasNavigated = true));

/** The head of every page: what is shown, and what can be done with it. */
export function TopBar({ title, children, onMenu }: { title: string; children?: ReactNode; onMenu: () => void }) {
  const words = useWords();
  const focused = useStore(focusMode);
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    // Whoever came here by a link or a key goes on from here; where one writes, the composer takes the focus.
    if (hasNavigated && !document.getElementById("text") && !document.querySelector("dialog[open]")) heading.current?.focus({ preventScroll: true });
  }, []);
  return (
    <header className="top">
      <button type="button" className="quiet menu-button" aria-label={words("menu")} onClick={onMenu}><Icon name="chats" /></button>
      <h1 ref={heading} tabIndex={-1} dir="auto">{title}</h1>
      {children}
      {!focused && <button type="button" className="quiet focus-button" aria-label={words("focusOn")} title={words("focusOn")} onClick={toggleSidebar}><Icon name="fold" /></button>}
    </header>
  );
}
