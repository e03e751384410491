import { insist, type Page, type Session } from "legato-client";
import { useEffect, useState } from "react";
import { useWords } from "../i18n";
import { dateGroups } from "../state/dateGroups";
import { legato, useLegato } from "../state/legato";
import { DeleteDialog } from "./DeleteDialog";
import { Preferences } from "./Preferences";
import { SessionRow } from "./SessionRow";

interface Props {
  current: string;
  onOpen: (id: string) => void;
  onHelp: () => void;
}

/** What a search, or the archive, lists; null where the live list stands. */
function useFound(text: string, archived: boolean, sessions: unknown): Session[] | null {
  const [found, setFound] = useState<Session[] | null>(null);
  useEffect(() => {
    if (!text && !archived) return;
    let wanted = true;
    const query = `${text ? `&text=${encodeURIComponent(text)}` : ""}${archived ? "&status=archived" : ""}`;
    const timer = setTimeout(() => {
      void insist<Page<Session>>("GET", `v1/sessions?limit=100${query}`).then(({ data }) => wanted && setFound(data), () => undefined);
    }, 150);
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [text, archived, sessions]);
  return text || archived ? found : null;
}

export function Sidebar({ current, onOpen, onHelp }: Props) {
  const words = useWords();
  const { sessions, running } = useLegato();
  const [text, setText] = useState("");
  const [archived, setArchived] = useState(false);
  const [doomed, setDoomed] = useState<Session | null>(null);
  const found = useFound(text.trim(), archived, sessions);
  const shown = found ?? (sessions ?? []).filter((session) => !session.archived_at);
  const remove = async (session: Session) => {
    setDoomed(null);
    if (session.id === current) onOpen("");
    await legato.remove(session.id);
  };
  return (
    <aside className="sidebar" aria-label={words("chats")}>
      <div className="brand">Legato</div>
      <a className="new" href="#" onClick={(event) => { event.preventDefault(); onOpen(""); }}>
        <span aria-hidden="true">+</span> {words("newChat")}
      </a>
      <input id="search" type="search" value={text} placeholder={words("search")} aria-label={words("search")} onChange={(event) => setText(event.target.value)} />
      <nav className="sessions" aria-label={words("chats")}>
        {dateGroups(shown, new Date()).map(({ group, sessions: rows }) => (
          <section key={group}>
            <h2>{words(group)}</h2>
            <ul>
              {rows.map((session) => (
                <SessionRow key={session.id} session={session} current={session.id === current} running={running.has(session.id)} onDelete={() => setDoomed(session)} onOpen={onOpen} />
              ))}
            </ul>
          </section>
        ))}
        {shown.length === 0 && <p className="hint">{sessions === null ? words("loading") : words(text || archived ? "noHits" : "noChats")}</p>}
      </nav>
      <footer className="sidebar-foot">
        <button type="button" className="quiet" aria-pressed={archived} onClick={() => setArchived(!archived)}>
          {words(archived ? "showActive" : "showArchived")}
        </button>
        <Preferences onHelp={onHelp} />
      </footer>
      {doomed && <DeleteDialog session={doomed} onClose={() => setDoomed(null)} onDelete={() => void remove(doomed)} />}
    </aside>
  );
}
