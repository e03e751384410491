import { LegatoError, type Approval, type Decision, type Grant } from "legato-client";
import { useEffect, useRef, useState } from "react";
import { useRowsFocus } from "../../controls/useRowsFocus";
import { spoken, useWords, type Word } from "../../i18n";
import { TopBar } from "../../shell/TopBar";
import { agents } from "../../state/catalog";
import { client } from "../../state/client";
import { act } from "../../state/problem";
import { sessions } from "../../state/sessions";
import { Store, useStore } from "../../state/store";
import { remaining } from "./remaining";
import "./inbox.css";

/** What became of an approval that was answered here, or that somebody else had answered. */
interface Outcome {
  approval: Approval;
  word: Word;
}
const OUTCOMES: Readonly<Record<Decision, Word>> = { allow: "youAllowed", always: "youAllowedAlways", deny: "youDenied" };
const ELSEWHERE: Readonly<Record<string, Word>> = { allowed: "allowedElsewhere", denied: "deniedElsewhere" };

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
  const decide = async (approval: Approval, decision: Decision) => {
    const word = await act(() => told(approval, decision));
    if (!word) return;
    setOutcome({ approval, word });
    sessions.settle(approval.id);
    list.current?.focus();
    if (decision === "always") await fetchGrants();
  };
  return (
    <>
      <title>{`${words("inbox")} · Legato`}</title>
      <TopBar title={words("inbox")} onMenu={onMenu} />
      <div className="inbox">
        <p className="outcome" role="status">{outcome && words(outcome.word, { question: outcome.approval.question })}</p>
        <div ref={list} className="asked" tabIndex={-1}>
          {waiting.map((approval) => <Question key={approval.id} approval={approval} onDecide={(decision) => decide(approval, decision)} />)}
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

/** Answers, and says what became of it: somebody, or an earlier attempt of this, may have been faster. */
async function told(approval: Approval, decision: Decision): Promise<Word> {
  try {
    await client.decide(approval.id, decision);
  } catch (error) {
    if (!(error instanceof LegatoError)) throw error;
    if (error.code === "approval_not_found") return "askedNoMore";
    if (error.code !== "already_decided") throw error;
    return ELSEWHERE[String(error.fields["decided"])] ?? "askedNoMore";
  }
  return OUTCOMES[decision];
}

function Question({ approval, onDecide }: { approval: Approval; onDecide: (decision: Decision) => Promise<void> }) {
  const words = useWords();
  const { listed } = useStore(sessions);
  const now = useNow();
  const [busy, setBusy] = useState(false);
  const session = listed?.find(({ id }) => id === approval.session_id);
  const left = remaining(approval.expires_at, now, spoken());
  const answer = (decision: Decision) => () => {
    setBusy(true);
    void onDecide(decision).finally(() => setBusy(false));
  };
  return (
    <section className="question" aria-label={approval.question} aria-busy={busy}>
      <p className="question-place">
        <a href={`#${approval.session_id}`} dir="auto">{session?.title || words("untitled")}</a>
        <span className="muted">{left === null ? words("waitsNoLonger") : words("waitsFor", { time: left })}</span>
      </p>
      <h2 dir="auto">{approval.question}</h2>
      {approval.tool && <p className="muted">{words("wantsTool")} <code>{approval.tool}</code></p>}
      <div className="buttons">
        <button type="button" className="primary" disabled={busy} onClick={answer("allow")}>{words("allow")}</button>
        {approval.tool && <button type="button" disabled={busy} onClick={answer("always")}>{words("always")}</button>}
        <button type="button" disabled={busy} onClick={answer("deny")}>{words("deny")}</button>
      </div>
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

const TICK_MS = 10_000;

function useNow(): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), TICK_MS);
    return () => clearInterval(timer);
  }, []);
  return now;
}
