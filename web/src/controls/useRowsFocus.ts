import { useLayoutEffect, useRef, type FocusEvent, type RefObject } from "react";
import { focusBack } from "./focusBack";

interface Rows {
  ref: RefObject<HTMLUListElement & HTMLOListElement | null>;
  tabIndex: -1;
  onFocus: (event: FocusEvent) => void;
  onBlur: () => void;
}

/** For a list: where the row that has the focus goes, its neighbour has it, or else the list, or else where one writes. */
export function useRowsFocus(): Rows {
  const list = useRef<HTMLUListElement & HTMLOListElement>(null);
  const held = useRef<{ element: Element; row: number; fromEnd: number | null } | null>(null);
  useLayoutEffect(() => {
    const { current } = held;
    if (!current) return;
    const rows = [...(list.current?.children ?? [])];
    if (current.element.isConnected) current.row = rowOf(rows, current.element);
    if (current.element.isConnected && !current.element.matches(":disabled")) return;
    held.current = null;
    if (document.activeElement !== document.body && document.activeElement !== current.element) return;
    const row = rows[current.row] ?? rows.at(-1);
    const buttons = row && current.fromEnd !== null ? buttonsOf(row) : [];
    const place = buttons.at(current.fromEnd ?? 0) ?? buttons[0] ?? row;
    if (place instanceof HTMLElement) place.focus();
    focusBack(list.current);
  });
  const onFocus = ({ target }: FocusEvent) => {
    const rows = [...(list.current?.children ?? [])];
    const row = rowOf(rows, target);
    // A field has words, and knows where they go.
    const isOf = row >= 0 && !target.matches("input, textarea");
    const buttons = buttonsOf(rows[row]);
    const at = buttons.findIndex((each) => each === target);
    held.current = isOf ? { element: target, row, fromEnd: at < 0 ? null : at - buttons.length } : null;
  };
  return { ref: list, tabIndex: -1, onFocus, onBlur: () => { held.current = null; } };
}

const rowOf = (rows: readonly Element[], element: Element): number => rows.findIndex((row) => row.contains(element));
const buttonsOf = (row: Element | undefined): HTMLElement[] => [...(row?.querySelectorAll<HTMLElement>("button:enabled, a") ?? [])];
