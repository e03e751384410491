import type { Session } from "legato-client";
import { useWords } from "../i18n";
import { client } from "../state/client";
import { act } from "../state/problem";
import { sessions } from "../state/sessions";

/** What keeps a conversation from going on, and what can be done about it. */
export function Standing({ session }: { session: Session }) {
  const words = useWords();
  if (session.quarantined) return <p className="read-only">{words("quarantined")}</p>;
  if (session.read_only) {
    return (
      <p className="read-only">
        {words("closed")} <button type="button" onClick={() => void act(() => client.reopen(session.id))}>{words("reopen")}</button>
      </p>
    );
  }
  if (!session.archived_at) return null;
  return (
    <p className="read-only small">
      {words("archivedChat")} <button type="button" className="quiet" onClick={() => void sessions.change(session.id, { archived: false })}>{words("takeOut")}</button>
    </p>
  );
}
