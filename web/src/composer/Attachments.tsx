import { useRowsFocus } from "../controls/useRowsFocus";
import { spoken, told, useWords } from "../i18n";
import { client } from "../state/client";
import { useStore } from "../state/store";
import { canRetry, detach, sent, upload } from "./attachments";
import type { Attached } from "./drafts";
import { sizeOf } from "../i18n/numbers";

/** The files that go with what is being written. */
export function Attachments({ conversation, files }: { conversation: string; files: readonly Attached[] }) {
  const words = useWords();
  const rows = useRowsFocus();
  if (files.length === 0) return null;
  return (
    <ul {...rows} className="attachments" aria-label={words("attachments")}>
      {files.map((file) => <AttachmentChip key={file.key} conversation={conversation} file={file} />)}
    </ul>
  );
}

function AttachmentChip({ conversation, file }: { conversation: string; file: Attached }) {
  const words = useWords();
  const state = file.problem ? "failed" : file.id ? "done" : "uploading";
  const why = file.problem && told(words, file.problem);
  return (
    <li className="chip" data-state={state}>
      {file.id && file.mediaType?.startsWith("image/") ? <img src={client.fileUrl(file.id)} alt="" /> : <span className="chip-kind" aria-hidden="true">{extension(file.name)}</span>}
      <span className="chip-name" dir="auto" title={file.name}>{file.name}</span>
      {state === "uploading" ? <Uploading file={file} /> : <span className="chip-state" role={why ? "alert" : undefined}>{why ?? sizeOf(file.size, spoken())}</span>}
      {state === "failed" && canRetry(file.key) && <button type="button" className="quiet" onClick={() => void upload(conversation, file.key)}>{words("retry")}</button>}
      <button type="button" className="quiet" aria-label={words("removeFile", { name: file.name })} onClick={() => detach(conversation, file)}>×</button>
    </li>
  );
}

/** How much of it has gone; once all has, or where that can't be known, only that it goes on. */
function Uploading({ file }: { file: Attached }) {
  const words = useWords();
  const gone = (useStore(sent).get(file.key) ?? 0) / Math.max(1, file.size);
  if (gone <= 0 || gone >= 1) return <span className="chip-state breathing">{words("uploading")}</span>;
  return <progress aria-label={words("uploading")} title={`${String(Math.floor(100 * gone))} %`} value={gone} />;
}

const extension = (name: string): string => (/\.(\w{1,4})$/.exec(name)?.[1] ?? "…").toUpperCase();
