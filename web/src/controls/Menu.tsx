import { useLayoutEffect, useRef, type ReactNode } from "react";
import "./controls.css";

const GAP_PX = 4;
const ITEMS = "[role=menuitem]";

interface Props {
  label: string;
  /** What it belongs to: it stands by it, and the focus returns there. */
  anchor: HTMLElement;
  children: ReactNode;
  onClose: () => void;
}

/** A menu above everything, so that no list that scrolls can cut it off. Its items have the role `menuitem`. */
export function Menu({ label, anchor, children, onClose }: Props) {
  const menu = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const element = menu.current;
    if (!element) return;
    element.showPopover();
    place(element, anchor.getBoundingClientRect());
    element.querySelector<HTMLElement>(ITEMS)?.focus();
  }, [anchor]);
  const leave = () => {
    anchor.focus();
    onClose();
  };
  return (
    <div
      ref={menu} className="menu" role="menu" aria-label={label} popover="auto" onToggle={(event) => event.newState === "closed" && onClose()}
      onKeyDown={(event) => {
        if (event.key === "Escape" || event.key === "Tab") leave();
        else if (!move(event.currentTarget, event.key)) return;
        event.preventDefault();
        event.stopPropagation();
      }}
      onClick={(event) => event.target instanceof Element && event.target.closest(ITEMS) && leave()}
    >
      {children}
    </div>
  );
}

/** Below what it belongs to, or above where there is no room. */
function place(menu: HTMLElement, anchor: DOMRect): void {
  const { width, height } = menu.getBoundingClientRect();
  const below = anchor.bottom + GAP_PX;
  const top = below + height <= innerHeight ? below : Math.max(GAP_PX, anchor.top - GAP_PX - height);
  menu.style.top = `${String(top)}px`;
  menu.style.left = `${String(Math.max(GAP_PX, Math.min(anchor.right - width, innerWidth - width - GAP_PX)))}px`;
}

/** Arrows go round, Home and End to the ends, a letter to the next item that begins with it. */
function move(menu: HTMLElement, key: string): boolean {
  const items = [...menu.querySelectorAll<HTMLElement>(ITEMS)];
  const at = items.indexOf(document.activeElement as HTMLElement);
  const after = [...items.slice(at + 1), ...items.slice(0, at + 1)];
  const next =
    key === "ArrowDown" ? after[0]
    : key === "ArrowUp" ? items.at(at <= 0 ? -1 : at - 1)
    : key === "Home" ? items[0]
    : key === "End" ? items.at(-1)
    : key.length === 1 && key !== " " ? after.find((item) => item.textContent.trim().toLowerCase().startsWith(key.toLowerCase()))
    : undefined;
  next?.focus();
  return next !== undefined;
}

export function MenuItem({ children, danger, onChoose }: { children: ReactNode; danger?: boolean; onChoose: () => void }) {
  return <button type="button" role="menuitem" tabIndex={-1} className={danger ? "dangerous" : undefined} onClick={onChoose}>{children}</button>;
}
