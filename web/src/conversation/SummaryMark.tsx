import type { Summary } from "legato-client";
import { useState } from "react";
import { Dialog } from "../controls/Dialog";
import { useWords } from "../i18n";

/** Up to here the model reads a summary instead of the words. */
export function SummaryMark({ summary }: { summary: Summary }) {
  const words = useWords();
  const [reading, setReading] = useState(false);
  return (
    <div className="divider summary-mark">
      {words("summarised", { n: summary.messages })}{" "}
      <button type="button" className="quiet" onClick={() => setReading(true)}>{words("readSummary")}</button>
      {reading && (
        <Dialog title={words("summary")} onClose={() => setReading(false)}>
          <p className="plain" dir="auto">{summary.text}</p>
          <div className="buttons"><button type="button" onClick={() => setReading(false)}>{words("close")}</button></div>
        </Dialog>
      )}
    </div>
  );
}
