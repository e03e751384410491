import type { ImportReport } from "legato-client";
import { useRef, useState } from "react";
import { useWords } from "../../i18n";
import { client } from "../../state/client";
import { act } from "../../state/problem";
import { sessions } from "../../state/sessions";
import { Section } from "../Sheet";

const FORMATS = [["jsonl", "JSON"], ["markdown", "Markdown"], ["html", "HTML"]] as const;

/** All chats out, and those of elsewhere in. */
export function ChatFiles() {
  const words = useWords();
  const field = useRef<HTMLInputElement>(null);
  const [busy, setBusy] = useState(false);
  const [report, setReport] = useState<ImportReport>();
  const take = async (file: File) => {
    setBusy(true);
    setReport(await act(() => client.importFile(file)));
    setBusy(false);
    sessions.refetch();
  };
  return (
    <Section title={words("settingsData")} note={words("settingsDataNote")}>
      <div className="settings-actions">
        {FORMATS.map(([format, name]) => <a key={format} className="button" download href={client.exportUrl(null, format)}>{words("settingsExport", { format: name })}</a>)}
        <button type="button" className="primary" disabled={busy} onClick={() => field.current?.click()}>{words(busy ? "settingsImporting" : "settingsImport")}</button>
        <input
          ref={field} type="file" hidden aria-label={words("settingsImport")}
          onChange={(event) => {
            const file = event.target.files?.[0];
            event.target.value = "";
            if (file) void take(file);
          }}
        />
      </div>
      <p role="status" className="settings-after">{report && <Report report={report} />}</p>
    </Section>
  );
}

function Report({ report }: { report: ImportReport }) {
  const words = useWords();
  const told = [
    words("settingsImported", { n: report.sessions }),
    report.known > 0 && words("settingsKnown", { n: report.known }),
    report.skipped_count > 0 && words("settingsSkipped", { n: report.skipped_count }),
  ];
  return told.filter(Boolean).join(", ");
}
