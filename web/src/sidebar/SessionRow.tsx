import type { Session } from "legato-client";
import { useRef, useState } from "react";
import { useWords } from "../i18n";
import { sessions } from "../state/sessions";

interface Props {
  session: Session;
  current: boolean;
  running: boolean;
  onDelete: () => void;
}

export function SessionRow({ session, current, running, onDelete }: Props) {
  const words = useWords();
  const [renaming, setRenaming] = useState(false);
  const title = session.title || words("untitled");
  if (renaming) {
    const end = (name: string | null) => {
      setRenaming(false);
      if (name?.trim() && name.trim() !== session.title) void sessions.change(session.id, { title: name.trim() });
    };
    return <li className="row"><TitleField title={session.title ?? ""} label={words("rename")} onEnd={end} /></li>;
  }
  return (
    <li className="row">
      <a href={`#${session.id}`} aria-current={current ? "page" : undefined} onDoubleClick={() => setRenaming(true)}>
        <span className="row-title" dir="auto">{title}</span>
        {running && <span className="mark" role="img" aria-label={words("running")} title={words("running")} />}
      </a>
      <RowMenu label={`${words("more")} ${title}`} items={[
        [words(session.pinned ? "unpin" : "pin"), () => void sessions.change(session.id, { pinned: !session.pinned })],
        [words("rename"), () => setRenaming(true)],
        [words(session.archived_at ? "unarchive" : "archive"), () => void sessions.change(session.id, { archived: !session.archived_at })],
        [words("delete"), onDelete],
      ]} />
    </li>
  );
}

function TitleField({ title, label, onEnd }: { title: string; label: string; onEnd: (title: string | null) => void }) {
  return (
    <input
      className="rename" aria-label={label} defaultValue={title} maxLength={200} ref={(field) => field?.select()}
      onBlur={(event) => onEnd(event.target.value)}
      onKeyDown={(event) => {
        if (event.key === "Enter") event.currentTarget.blur();
        if (event.key === "Escape") { event.currentTarget.value = title; event.currentTarget.blur(); }
      }}
    />
  );
}

function RowMenu({ label, items }: { label: string; items: [string, () => void][] }) {
  const menu = useRef<HTMLDetailsElement>(null);
  const close = () => menu.current?.removeAttribute("open");
  return (
    <details ref={menu} className="row-menu" onBlur={(event) => !event.currentTarget.contains(event.relatedTarget) && close()} onKeyDown={(event) => event.key === "Escape" && close()}>
      <summary aria-label={label}>⋯</summary>
      <div className="menu">
        {items.map(([name, act]) => (
          <button key={name} type="button" onClick={() => { close(); act(); }}>{name}</button>
        ))}
      </div>
    </details>
  );
}
