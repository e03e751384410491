import { LegatoError, type Approval, type Decision } from "legato-client";
import { useState } from "react";
import { useWords, type Word } from "../i18n";
import { client } from "../state/client";
import { act } from "../state/problem";

const OUTCOMES: Readonly<Record<Decision, Word>> = { allow: "youAllowed", always: "youAllowedAlways", deny: "youDenied" };
const ELSEWHERE: Readonly<Record<string, Word>> = { allowed: "allowedElsewhere", denied: "deniedElsewhere" };

interface Props {
  approval: Approval;
  /** `outcome`: what became of it, which somebody else may have decided. */
  onDecided: (outcome: Word, decision: Decision) => void;
}

/** The answers to a question of an agent's. */
export function Decisions({ approval, onDecided }: Props) {
  const words = useWords();
  const [busy, setBusy] = useState(false);
  const decide = async (decision: Decision) => {
    setBusy(true);
    const outcome = await act(() => decided(approval, decision));
    setBusy(false);
    if (outcome) onDecided(outcome, decision);
  };
  const button = (decision: Decision, className?: string) => (
    <button type="button" className={className} disabled={busy} onClick={() => void decide(decision)}>{words(decision)}</button>
  );
  return (
    <div className="buttons" aria-busy={busy}>
      {button("allow", "primary")}
      {approval.tool && button("always")}
      {button("deny")}
    </div>
  );
}

/** Answers, and says what became of it: somebody, or an earlier attempt of this, may have been faster. */
async function decided(approval: Approval, decision: Decision): Promise<Word> {
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
