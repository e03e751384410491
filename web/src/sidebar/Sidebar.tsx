import type { Session } from "legato-client";
import { useEffect, useState } from "react";
import { useWords } from "../i18n";
import { dateGroups } from "./dateGroups";
import { Preferences } from "../shell/Preferences";
import { client } from "../state/client";
import { act } from "../state/problem";
import { goTo } from "../state/route";
import { sessions } from "../state/sessions";
import { useStore } from "../state/store";
import { DeleteDialog } from "./DeleteDialog";
import { SessionRow } from "./SessionRow";
import "./sidebar.css";

/** What a search, or the archive, lists; null where the live list stands. */
function useFound(text: string, archived: boolean, listed: unknown): readonly Session[] | null {
  const [found, setFound] = useState<readonly Session[] | null>(null);
  useEffect(() => {
    if (!text && !archived) return;
    let wanted = true;
    const timer = setTimeout(() => {
      void act(() => client.sessions({ limit: 100, ...(text ? { text } : {}), ...(archived ? { status: "archived" } : {}) })).then((page) => {
        if (wanted && page) setFound(page.data);
      });
    }, 150);
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [text, archived, listed]);
  return text || archived ? found : null;
}

export function Sidebar({ current, onHelp }: { current: string | null; onHelp: () => void }) {
  const words = useWords();
  const { listed, running } = useStore(sessions);
  const [text, setText] = useState("");
  const [archived, setArchived] = useState(false);
  const [doomed, setDoomed] = useState<Session | null>(null);
  const found = useFound(text.trim(), archived, listed);
  const shown = found ?? (listed ?? []).filter((session) => !session.archived_at);
  const remove = async (session: Session) => {
    setDoomed(null);
    if (session.id === current) goTo(null);
    await sessions.remove(session.id);
  };
  return (
    <aside className="sidebar" aria-label={words("chats")}>
      <div className="brand">Legato</div>
      <a className="new" href="#" onClick={(event) => { event.preventDefault(); goTo(null); }}>
        <span aria-hidden="true">+</span> {words("newChat")}
      </a>
      <input id="search" type="search" value={text} placeholder={words("search")} aria-label={words("search")} onChange={(event) => setText(event.target.value)} />
      <nav className="sessions" aria-label={words("chats")}>
        {dateGroups(shown, new Date()).map(({ group, sessions: rows }) => (
          <section key={group}>
            <h2>{words(group)}</h2>
            <ul>
              {rows.map((session) => (
                <SessionRow key={session.id} session={session} current={session.id === current} running={running.has(session.id)} onDelete={() => setDoomed(session)} />
              ))}
            </ul>
          </section>
        ))}
        {shown.length === 0 && <p className="hint">{listed === null ? words("loading") : words(text || archived ? "noHits" : "noChats")}</p>}
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
