import type { Session } from "legato-client";
import { useEffect, useMemo, useRef, useState } from "react";
import { flushSync } from "react-dom";
import { Virtualizer, type VirtualizerHandle } from "virtua";
import { focusBack } from "../controls/focusBack";
import { useWords } from "../i18n";
import { sessions as store } from "../state/sessions";
import { useStore } from "../state/store";
import { unread } from "../state/unread";
import { linesOf } from "./dateGroups";
import { rowId, SessionRow, type Mark, type RowActions } from "./SessionRow";
import { SessionMenu } from "./SessionMenu";
import { useToday } from "./today";

/** So many rows before the end the next page is asked for. */
const AHEAD = 30;
const ROW_PX = 36;

interface Props {
  sessions: readonly Session[];
  current: string | null;
  hasMore: boolean;
  onMore: () => void;
  onDelete: (session: Session) => void;
}

/** Rows by day, of which only those in sight are in the document. The list is one stop of the Tab key; arrows move within. */
export function SessionList({ sessions, current, hasMore, onMore, onDelete }: Props) {
  const words = useWords();
  const markOf = useMarks();
  const today = useToday();
  const lines = useMemo(() => linesOf(sessions, new Date(today)), [sessions, today]);
  const scroller = useRef<HTMLElement>(null);
  const windowed = useRef<VirtualizerHandle>(null);
  const [focused, setFocused] = useState<{ id: string; index: number } | null>(null);
  const [renaming, setRenaming] = useState<string | null>(null);
  const [menu, setMenu] = useState<{ id: string; anchor: HTMLElement } | null>(null);

  const at = (id: string | null): number => (id === null ? -1 : lines.findIndex((line) => line.session?.id === id));
  // Where the focused one is gone, what stands in its place now.
  const near = focused ? [at(focused.id), focused.index, focused.index + 1, focused.index - 1] : [];
  const reachable = [...near, at(current)].find((index) => lines[index]?.session) ?? lines.findIndex((line) => line.session);
  const reachableId = lines[reachable]?.session?.id;
  const kept = [...new Set([reachable, at(renaming), at(menu?.id ?? null)])].filter((index) => index >= 0).sort((a, b) => a - b);
  const opened = lines.find((line) => line.session?.id === menu?.id)?.session;

  const look = () => {
    const list = windowed.current;
    if (hasMore && list && list.findItemIndex(list.scrollOffset + list.viewportSize) >= lines.length - AHEAD) onMore();
  };
  useEffect(look);

  // A row that goes is not left by the person, and tells of no blur.
  const within = useRef(false);
  useEffect(() => {
    if (!within.current || document.activeElement !== document.body) return;
    if (reachableId) focusRow(reachableId);
    else focusBack(null);
  });

  const focus = (id: string) => {
    flushSync(() => setFocused({ id, index: at(id) }));
    windowed.current?.scrollToIndex(at(id), { align: "nearest" });
    focusRow(id);
  };
  const actions = useMemo<RowActions>(() => ({
    beginRename: setRenaming,
    openMenu: (id, anchor) => setMenu({ id, anchor }),
    rename: (id, title) => {
      // The field goes, and tells so once more: by then it is nobody's.
      flushSync(() => setRenaming((now) => (now === id ? null : now)));
      const before = store.read().listed?.find((session) => session.id === id)?.title;
      if (title?.trim() && title.trim() !== before) void store.change(id, { title: title.trim() });
      if (document.activeElement === document.body) focusRow(id);
    },
  }), []);

  const onKeyDown = (event: React.KeyboardEvent) => {
    const id = event.target instanceof HTMLElement ? event.target.dataset["session"] : undefined;
    const row = lines[at(id ?? null)];
    if (!row?.session || event.altKey || event.ctrlKey || event.metaKey) return;
    const rows = lines.flatMap((line) => (line.session ? [line.session.id] : []));
    const next: Record<string, string | undefined> = {
      ArrowDown: rows[rows.indexOf(row.session.id) + 1], ArrowUp: rows[rows.indexOf(row.session.id) - 1], Home: rows[0], End: rows.at(-1),
    };
    if (event.key in next) {
      if (next[event.key]) focus(next[event.key] ?? row.session.id);
      else if (event.key === "ArrowUp") document.getElementById("search")?.focus();
    } else if (event.key === "F2") setRenaming(row.session.id);
    else if (event.key === "Delete") onDelete(row.session);
    else return;
    event.preventDefault();
  };
  const onFocus = (event: React.FocusEvent) => {
    within.current = true;
    const id = event.target instanceof HTMLElement ? event.target.dataset["session"] : undefined;
    if (id) setFocused({ id, index: at(id) });
  };
  return (
    <nav ref={scroller} className="sessions" aria-label={words("chats")} onKeyDown={onKeyDown} onFocus={onFocus} onBlur={() => { within.current = false; }}>
      <Virtualizer ref={windowed} as="ul" item="li" scrollRef={scroller} itemSize={ROW_PX} keepMounted={kept} data={lines} onScroll={look}>
        {(line) => line.session ? (
          <SessionRow
            key={line.session.id} session={line.session} current={line.session.id === current} reachable={line.session.id === reachableId}
            renaming={line.session.id === renaming} mark={markOf(line.session)} actions={actions}
          />
        ) : <h2 key={line.group}>{words(line.group)}</h2>}
      </Virtualizer>
      {menu && opened && (
        <SessionMenu
          key={menu.id} session={opened} anchor={menu.anchor} onClose={() => setMenu(null)} onRename={() => setRenaming(opened.id)} onDelete={() => onDelete(opened)}
        />
      )}
    </nav>
  );
}

/** A row that comes into the document is hidden until it is measured, some frames later; only then it takes the focus. */
function focusRow(id: string, frames = 20): void {
  const row = document.getElementById(rowId(id));
  row?.focus({ preventScroll: true });
  if (document.activeElement !== row && frames > 0) requestAnimationFrame(() => focusRow(id, frames - 1));
}

/** Back to the row where the person was. */
export function focusList(): void {
  document.querySelector<HTMLElement>(".sidebar .row a[tabindex='0']")?.focus();
}

function useMarks(): (session: Session) => Mark | null {
  const { running } = useStore(store);
  const waiting = useStore(store.approvals);
  const unseen = useStore(unread);
  return useMemo(() => {
    const asking = new Set(waiting.map((approval) => approval.session_id));
    const ended = new Set(unseen);
    return ({ id, read_only: closed }) =>
      asking.has(id) ? "asking" : running.has(id) ? "running" : ended.has(id) ? "unread" : closed ? "closed" : null;
  }, [running, waiting, unseen]);
}
