import type { Session } from "legato-client";
import { memo } from "react";
import { isComposing } from "../controls/isComposing";
import { useWords, type Word } from "../i18n";

/** What is to be noticed of a session, the most urgent first. */
export type Mark = "asking" | "running" | "unread" | "closed";
const MARKS: Readonly<Record<Mark, [className: string, word: Word]>> = {
  asking: ["asking-mark", "awaiting_approval"],
  running: ["mark", "running"],
  unread: ["unread-mark", "unread"],
  closed: ["closed-mark", "readOnly"],
};

export interface RowActions {
  rename: (id: string, title: string | null) => void;
  beginRename: (id: string) => void;
  openMenu: (id: string, anchor: HTMLElement) => void;
}

interface Props {
  session: Session;
  current: boolean;
  /** Whether the Tab key stops here: it does at one row of the list. */
  reachable: boolean;
  renaming: boolean;
  mark: Mark | null;
  actions: RowActions;
}

export const rowId = (sessionId: string): string => `row-${sessionId}`;

export const SessionRow = memo(function SessionRow({ session, current, reachable, renaming, mark, actions }: Props) {
  const words = useWords();
  const title = session.title || words("untitled");
  if (renaming) {
    return <div className="row"><TitleField title={session.title ?? ""} label={words("rename")} onEnd={(name) => actions.rename(session.id, name)} /></div>;
  }
  const tabIndex = reachable ? 0 : -1;
  return (
    <div className="row" data-unread={mark === "unread" || undefined}>
      <a
        id={rowId(session.id)} href={`#${session.id}`} tabIndex={tabIndex} data-session={session.id} title={title}
        // Before it is open, the field would lose the focus to what opens.
        aria-current={current ? "page" : undefined} onDoubleClick={() => current && actions.beginRename(session.id)}
      >
        <span className={session.title ? "row-title" : "row-title untitled"} dir="auto">{title}</span>
        {mark && <span className={MARKS[mark][0]} role="img" aria-label={words(MARKS[mark][1])} title={words(MARKS[mark][1])} />}
      </a>
      <button
        type="button" className="row-menu" tabIndex={tabIndex} data-session={session.id} aria-haspopup="menu" aria-label={words("more", { title })}
        onClick={(event) => actions.openMenu(session.id, event.currentTarget)}
      >⋯</button>
    </div>
  );
});

function TitleField({ title, label, onEnd }: { title: string; label: string; onEnd: (title: string | null) => void }) {
  return (
    <input
      className="rename" aria-label={label} defaultValue={title} maxLength={200} dir="auto" ref={selectAll}
      onBlur={(event) => onEnd(event.target.value)}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (isComposing(event)) return;
        if (event.key === "Enter") onEnd(event.currentTarget.value);
        if (event.key === "Escape") onEnd(null);
      }}
    />
  );
}

function selectAll(field: HTMLInputElement | null): void {
  field?.select();
}
