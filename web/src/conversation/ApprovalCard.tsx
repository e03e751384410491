import { LegatoError, type Approval, type Decision } from "legato-client";
import { useState } from "react";
import { useWords } from "../i18n";
import { client } from "../state/client";
import { act } from "../state/problem";
import { timeLeft } from "./timeLeft";
import { useNow } from "./useNow";

/** A question of the agent's. The first answer counts, from whatever device: one that came too late is told so. */
export function ApprovalCard({ approval }: { approval: Approval }) {
  const words = useWords();
  const [told, setTold] = useState<"" | "deciding" | "tooLate">("");
  const left = timeLeft(Date.parse(approval.expires_at) - useNow(1000));
  const decide = (decision: Decision) => async () => {
    setTold("deciding");
    const done = await act(() => client.decide(approval.id, decision).catch((error: unknown) => {
      if (error instanceof LegatoError && error.code === "already_decided") return null;
      throw error;
    }));
    if (done === null) setTold("tooLate");
    else if (done === undefined) setTold("");
  };
  const button = (decision: Decision, className?: string) => (
    <button type="button" className={className} disabled={told !== ""} onClick={() => void decide(decision)()}>{words(decision)}</button>
  );
  return (
    <section className="approval" aria-label={words("approvalAsked")}>
      <h3>{words("approvalAsked")}</h3>
      <p dir="auto">{approval.question}</p>
      <p className="muted">
        {approval.tool && <><code>{approval.tool}</code> · </>}
        {left ? words("expiresIn", { time: words(left.unit, { n: left.n }) }) : words("expired")}
      </p>
      {told === "tooLate" && <p role="status">{words("alreadyDecided")}</p>}
      <div className="buttons">
        {button("allow", "primary")}
        {approval.tool && button("always")}
        {button("deny")}
      </div>
    </section>
  );
}
