import { useRowsFocus } from "../../controls/useRowsFocus";
import { useWords } from "../../i18n";
import { agents } from "../../state/catalog";
import { client } from "../../state/client";
import { act } from "../../state/problem";
import { useStore } from "../../state/store";
import { Section } from "../Sheet";
import { useFetched } from "../useFetched";

/** What agents need not ask for any more. */
export function Grants() {
  const words = useWords();
  const known = useStore(agents);
  const rows = useRowsFocus();
  const [grants, again] = useFetched(client.grants);
  const revoke = async (id: string) => {
    await act(() => client.revoke(id));
    await again();
  };
  return (
    <Section title={words("settingsGrants")} note={grants?.length ? words("settingsGrantsNote") : undefined}>
      {grants?.length === 0 && <p className="muted">{words("settingsNoGrants")}</p>}
      <ul {...rows} className="settings-list">
        {grants?.map(({ id, agent_id: agentId, tool }) => (
          <li key={id}>
            <span><code>{tool}</code> <span className="muted">{known.find((agent) => agent.id === agentId)?.name ?? agentId}</span></span>
            <button type="button" aria-label={words("settingsRevokeThis", { tool })} onClick={() => void revoke(id)}>{words("settingsRevoke")}</button>
          </li>
        ))}
      </ul>
    </Section>
  );
}
