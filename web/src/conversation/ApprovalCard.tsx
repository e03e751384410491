import type { Approval } from "legato-client";
import { useEffect, useState } from "react";
import { focusBack } from "../controls/focusBack";
import { useWords, type Word } from "../i18n";
import { Decisions } from "./Decisions";
import { TimeLeft } from "./TimeLeft";

/** A question of the agent's. The first answer counts, from whatever device: one that came too late is told so. */
export function ApprovalCard({ approval }: { approval: Approval }) {
  const words = useWords();
  const [outcome, setOutcome] = useState<Word | null>(null);
  useEffect(() => () => focusBack(null), [outcome]); // which goes with its buttons
  return (
    <section className="approval" aria-label={words("approvalAsked")}>
      <h3>{words("approvalAsked")}</h3>
      <p dir="auto">{approval.question}</p>
      <p className="muted">{approval.tool && <><code>{approval.tool}</code> · </>}<TimeLeft until={approval.expires_at} /></p>
      <div role="status">{outcome && <p dir="auto">{words(outcome, { question: approval.question })}</p>}</div>
      {!outcome && <Decisions approval={approval} onDecided={setOutcome} />}
    </section>
  );
}
