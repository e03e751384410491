import type { ReactNode } from "react";
import { useWords } from "../i18n";

/** The head of every page: what is shown, and what can be done with it. */
export function TopBar({ title, children, onMenu }: { title: string; children?: ReactNode; onMenu: () => void }) {
  const words = useWords();
  return (
    <header className="top">
      <button type="button" className="quiet menu-button" aria-label={words("menu")} onClick={onMenu}>☰</button>
      <h1 dir="auto">{title}</h1>
      {children}
    </header>
  );
}
