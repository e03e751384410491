import { LegatoError, type ImportReport } from "legato-client";
import { useState } from "react";
import { Dialog } from "../controls/Dialog";
import { told, useWords } from "../i18n";
import { client } from "../state/client";
import { why } from "../state/problem";
import { sessions } from "../state/sessions";
import "./transfer.css";

const FORMATS = [["JSONL", "jsonl", "asJsonl"], ["Markdown", "markdown", "asMarkdown"], ["HTML", "html", "asHtml"]] as const;

/** Where an import is: nothing chosen, looked at, tried out, taken over; `problem` says why the last step went wrong. */
type Step =
  | { at: "start"; problem?: string }
  | { at: "busy"; doing: "checking" | "importing"; gone?: number }
  | { at: "found"; file: File; report: ImportReport; problem?: string }
  | { at: "done"; report: ImportReport };

export function TransferDialog({ onClose }: { onClose: () => void }) {
  const words = useWords();
  return (
    <Dialog title={words("transfer")} isHeld onClose={onClose}>
      <section className="transfer" onClick={(event) => event.target instanceof Element && event.target.closest(".titles a") && onClose()}>
        <h3>{words("exportAll")}</h3>
        <ul className="formats">
          {FORMATS.map(([name, format, what]) => (
            <li key={format}><a href={client.exportUrl(null, format)} download><b>{name}</b><span>{words(what)}</span></a></li>
          ))}
        </ul>
        <h3>{words("import")}</h3>
        <Import />
      </section>
      <div className="buttons"><button type="button" onClick={onClose}>{words("close")}</button></div>
    </Dialog>
  );
}

function Import() {
  const words = useWords();
  const [step, setStep] = useState<Step>({ at: "start" });
  const hand = (doing: "checking" | "importing", file: File): Promise<ImportReport> => {
    setStep({ at: "busy", doing });
    return client.importFile(file, { dryRun: doing === "checking", onSent: (bytes) => setStep({ at: "busy", doing, gone: bytes / Math.max(1, file.size) }) });
  };
  const check = async (file: File) => {
    try {
      setStep({ at: "found", file, report: await hand("checking", file) });
    } catch (error) {
      setStep({ at: "start", problem: reason(error) });
    }
  };
  const take = async (file: File, report: ImportReport) => {
    try {
      setStep({ at: "done", report: await hand("importing", file) });
    } catch (error) {
      setStep({ at: "found", file, report, problem: reason(error) });
    }
    sessions.refetch();
  };
  const again = () => setStep({ at: "start" });
  if (step.at === "busy") {
    const gone = step.gone !== undefined && step.gone < 1 ? { value: step.gone } : {}; // then it is the server's work, of which one can't see how much is done
    return <p className="importing" role="status">{words(step.doing)}<progress aria-label={words(step.doing)} {...gone} /></p>;
  }
  if (step.at === "start") {
    return <>{step.problem && <Failure word="notReadable" reason={step.problem} />}<DropZone onFile={(file) => void check(file)} /></>;
  }
  const { report } = step;
  const done = step.at === "done";
  return (
    <div className="import-report" role="status">
      <p><b>{words(done ? "imported" : "wouldImport", { n: report.sessions })}</b> {words("withMessages", { n: report.messages })}</p>
      {report.known > 0 && <p>{words("knownAlready", { n: report.known })}</p>}
      <Titles report={report} linked={done} />
      <Skipped report={report} />
      {step.at === "found" && step.problem && <Failure word="brokenOff" reason={step.problem} />}
      <div className="buttons">
        {step.at === "found" ? (
          <>
            <button type="button" onClick={again}>{words("cancel")}</button>
            <button type="button" className="primary" disabled={report.sessions === 0} onClick={() => void take(step.file, report)}>{words("importNow")}</button>
          </>
        ) : <button type="button" onClick={again}>{words("importMore")}</button>}
      </div>
    </div>
  );
}

function Failure({ word, reason }: { word: "notReadable" | "brokenOff"; reason: string }) {
  const words = useWords();
  return <p className="bad" role="alert">{words(word)} {told(words, reason)}</p>;
}

function DropZone({ onFile }: { onFile: (file: File) => void }) {
  const words = useWords();
  const [over, setOver] = useState(false);
  const take = (files: FileList | null) => {
    const file = files?.[0];
    if (file) onFile(file);
  };
  return (
    <label
      className="drop" data-over={over || undefined} onDragOver={(event) => { event.preventDefault(); setOver(true); }} onDragLeave={() => setOver(false)}
      onDrop={(event) => { event.preventDefault(); setOver(false); take(event.dataTransfer.files); }}
    >
      <b>{words("chooseFile")}</b>
      <span>{words("importKinds")}</span>
      <input type="file" aria-label={words("chooseFile")} accept=".json,.jsonl,.zip" onChange={(event) => take(event.target.files)} />
    </label>
  );
}

const MOST_TITLES = 100;

function Titles({ report, linked }: { report: ImportReport; linked: boolean }) {
  const words = useWords();
  if (report.imported.length === 0) return null;
  return (
    <ul className="titles">
      {report.imported.slice(0, MOST_TITLES).map(({ origin, id, title, messages }) => (
        <li key={origin}>
          {linked && id ? <a href={`#${id}`} dir="auto">{title || words("untitled")}</a> : <span dir="auto">{title || words("untitled")}</span>}
          <span className="muted">{messages}</span>
        </li>
      ))}
    </ul>
  );
}

function Skipped({ report }: { report: ImportReport }) {
  const words = useWords();
  if (report.skipped_count === 0) return null;
  return (
    <details className="skipped">
      <summary>{words("skipped", { n: report.skipped_count })}</summary>
      <ul>{report.skipped.map(({ place, what, why }, at) => <li key={at}><b>{what}</b>: {why} <span className="muted">{place}</span></li>)}</ul>
    </details>
  );
}

function reason(error: unknown): string {
  if (error instanceof LegatoError) return why(error);
  throw error;
}
