import type { Approval, Decision, Grant } from "legato-client";
import { useEffect, useRef, useState } from "react";
import { useRowsFocus } from "../../controls/useRowsFocus";
import { Decisions } from "../../conversation/Decisions";
import { TimeLeft } from "../../conversation/TimeLeft";
import { useWords, type Word } from "../../i18n";
import { TopBar } from "../../shell/TopBar";
import { agents } from "../../state/catalog";
import { client } from "../../state/client";
import { act } from "../../state/problem";
import { sessions } from "../../state/sessions";
import { Store, useStore } from "../../state/store";
import "./inbox.css";

/** What became of an approval that was answered here, or that somebody else had answered. */
interface Outcome {
  approval: Approval;
  word: Word;
}

/** What is allowed for always; null until the server has told. */
const grants = new Store<readonly Grant[] | null>(null);
async function fetchGrants(): Promise<void> {
  const found = await act(() => client.grants());
  if (found) grants.put(found);
}

export default function Inbox({ onMenu }: { onMenu: () => void }) {
  const words = useWords();
  const waiting = useStore(sessions.approvals);
  const { listed } = useStore(sessions);
  const [outcome, setOutcome] = useState<Outcome | null>(null);
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => void fetchGrants(), []);
  const settle = (approval: Approval) => (word: Word, decision: Decision) => {
    setOutcome({ approval, word });
    sessions.settle(approval.id);
    list.current?.focus();
    if (decision === "always") void fetchGrants();
  };
  return (
    <>
      <TopBar title={words("inbox")} onMenu={onMenu} />
      <div className="inbox">
        <p className="outcome" role="status">{outcome && words(outcome.word, { question: outcome.approval.question })}</p>
        <div ref={list} className="asked" tabIndex={-1}>
          {waiting.map((approval) => <Question key={approval.id} approval={approval} onDecided={settle(approval)} />)}
        </div>
        {waiting.length === 0 && (
          <div className="nothing">
            <h2>{words(listed === null ? "loading" : "nothingWaits")}</h2>
            {listed !== null && <p>{words("nothingWaitsBody")}</p>}
          </div>
        )}
        <Grants />
      </div>
    </>
  );
}

function Question({ approval, onDecided }: { approval: Approval; onDecided: (outcome: Word, decision: Decision) => void }) {
  const words = useWords();
  const { listed } = useStore(sessions);
  const session = listed?.find(({ id }) => id === approval.session_id);
  return (
    <section className="question" aria-label={approval.question}>
      <p className="question-place">
        <a href={`#${approval.session_id}`} dir="auto">{session?.title || words("untitled")}</a>
        <span className="muted"><TimeLeft until={approval.expires_at} /></span>
      </p>
      <h2 dir="auto">{approval.question}</h2>
      {approval.tool && <p className="muted">{words("wantsTool")} <code>{approval.tool}</code></p>}
      <Decisions approval={approval} onDecided={onDecided} />
    </section>
  );
}

function Grants() {
  const words = useWords();
  const allowed = useStore(grants);
  const known = useStore(agents);
  const rows = useRowsFocus();
  if (!allowed || allowed.length === 0) return null;
  const revoke = async (id: string) => {
    await act(() => client.revoke(id));
    await fetchGrants();
  };
  return (
    <section className="grants" aria-label={words("allowedAlways")}>
      <h2>{words("allowedAlways")}</h2>
      <ul {...rows}>
        {allowed.map(({ id, tool, agent_id: agentId }) => (
          <li key={id}>
            <span><code>{tool}</code> <span className="muted">{known.find((agent) => agent.id === agentId)?.name ?? agentId}</span></span>
            <button type="button" aria-label={words("askAgainFor", { tool })} onClick={() => void revoke(id)}>{words("askAgain")}</button>
          </li>
        ))}
      </ul>
    </section>
  );
}
