import type { Session } from "legato-client";
import { useMemo, useState } from "react";
import { flushSync } from "react-dom";
import { afterDrawing } from "../commands/navigation";
import { Confirm } from "../controls/Confirm";
import { Icon } from "../controls/Icon";
import { useWords } from "../i18n";
import { goTo } from "../state/route";
import { sessions } from "../state/sessions";
import { useStore } from "../state/store";
import { search } from "./search";
import { SearchField } from "./SearchField";
import { SearchResults } from "./SearchResults";
import { focusList, SessionList } from "./SessionList";
import { SidebarFoot } from "./SidebarFoot";
import "./sidebar.css";

export function Sidebar({ current, onHelp }: { current: string | null; onHelp: () => void }) {
  const words = useWords();
  const { listed, hasMore } = useStore(sessions);
  const searching = useStore(search).text.trim() !== "";
  const [archived, setArchived] = useState(false);
  const [doomed, setDoomed] = useState<Session | null>(null);
  const shown = useMemo(() => listed?.filter((session) => Boolean(session.archived_at) === archived) ?? [], [listed, archived]);
  const shelf = archived ? "archived" : "recent";
  const askNoMore = () => {
    flushSync(() => setDoomed(null));
    focusList();
  };
  const remove = async (session: Session) => {
    await sessions.remove(session.id);
    // Its row is gone, and the focus with it, unless the person is elsewhere by now.
    afterDrawing(() => document.activeElement === document.body && focusList());
  };
  return (
    <aside className="sidebar" aria-label={words("chats")}>
      <div className="brand">Legato</div>
      <a className="new" href="#" onClick={(event) => { event.preventDefault(); goTo(null); }}><Icon name="plus" /> {words("newChat")}</a>
      <SearchField />
      {searching ? <SearchResults /> : (
        <>
          {archived && <h2 className="shelf">{words("archived")}</h2>}
          {shown.length === 0 && <EmptyList archived={archived} />}
          <SessionList key={shelf} sessions={shown} current={current} hasMore={listed !== null && hasMore[shelf]} onMore={() => sessions.more(shelf)} onDelete={setDoomed} />
        </>
      )}
      <SidebarFoot archived={archived} onArchived={() => setArchived(!archived)} onHelp={onHelp} />
      {doomed && (
        <Confirm
          title={words("deleteTitle")} body={words("deleteBody", { title: doomed.title || words("untitled") })} action={words("delete")}
          onAgree={() => void remove(doomed)} onClose={askNoMore}
        />
      )}
    </aside>
  );
}

function EmptyList({ archived }: { archived: boolean }) {
  const words = useWords();
  const { listed, hasMore, connection, error } = useStore(sessions);
  const away = connection === "lost" || connection === "offline" || (connection === "closed" && error !== undefined);
  if (listed === null || (archived && hasMore.archived)) return <p className="hint">{words(away ? "listAway" : "loading")}</p>;
  return <p className="hint">{words(archived ? "noArchived" : "noChats")}</p>;
}
