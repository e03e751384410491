import type { Approval, Decision } from "legato-client";
import { useWords } from "../i18n";
import { client } from "../state/client";
import { act } from "../state/problem";

export function ApprovalCard({ approval }: { approval: Approval }) {
  const words = useWords();
  const decide = (decision: Decision) => () => void act(() => client.decide(approval.id, decision));
  return (
    <section className="approval" aria-label={words("approvalAsked")}>
      <h3>{words("approvalAsked")}</h3>
      <p dir="auto">{approval.question}</p>
      <div className="buttons">
        <button type="button" className="primary" onClick={decide("allow")}>{words("allow")}</button>
        {approval.tool && <button type="button" onClick={decide("always")}>{words("always")}</button>}
        <button type="button" onClick={decide("deny")}>{words("deny")}</button>
      </div>
    </section>
  );
}
