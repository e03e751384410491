import type { Session } from "legato-client";
import { Menu, MenuItem } from "../controls/Menu";
import { useWords } from "../i18n";
import { client } from "../state/client";
import { sessions } from "../state/sessions";

const FORMATS = [["Markdown", "markdown"], ["HTML", "html"], ["JSON", "json"], ["JSONL", "jsonl"]] as const;

interface Props {
  session: Session;
  anchor: HTMLElement;
  onRename: () => void;
  onDelete: () => void;
  onClose: () => void;
}

export function SessionMenu({ session, anchor, onRename, onDelete, onClose }: Props) {
  const words = useWords();
  const { id, pinned, archived_at: archived } = session;
  return (
    <Menu label={words("more", { title: session.title || words("untitled") })} anchor={anchor} onClose={onClose}>
      <MenuItem onChoose={() => void sessions.change(id, { pinned: !pinned })}>{words(pinned ? "unpin" : "pin")}</MenuItem>
      <MenuItem onChoose={onRename}>{words("rename")}<kbd>F2</kbd></MenuItem>
      <MenuItem onChoose={() => void sessions.change(id, { archived: !archived })}>{words(archived ? "unarchive" : "archive")}</MenuItem>
      <div className="menu-group" role="group" aria-label={words("exportAs")}>
        <span aria-hidden="true">{words("exportAs")}</span>
        {FORMATS.map(([name, format]) => (
          <a key={format} role="menuitem" tabIndex={-1} href={client.exportUrl(id, format)} download>{name}</a>
        ))}
      </div>
      <MenuItem danger onChoose={onDelete}>{words("delete")}<kbd>Del</kbd></MenuItem>
    </Menu>
  );
}
