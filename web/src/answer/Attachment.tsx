import type { Part } from "legato-client";
import { useState } from "react";
import { spoken, useWords } from "../i18n";
import { sizeOf } from "../i18n/numbers";
import { Dialog } from "../controls/Dialog";
import { client } from "../state/client";

type File = Extract<Part, { type: "file" }>;

/** A file that goes with a message: an image as itself, anything else as a card. Both are of our own origin. */
export function Attachment({ file }: { file: File }) {
  const words = useWords();
  const [open, setOpen] = useState(false);
  const [missing, setMissing] = useState(false);
  const address = client.fileUrl(file.file_id);
  if (!file.media_type.startsWith("image/") || missing) {
    return (
      <a className="file-card" href={address} download={file.name}>
        <span className="kind" aria-hidden="true">{kindOf(file)}</span>
        <span className="name" dir="auto">{file.name}</span>
        <span className="muted">{[kindOf(file), sizeOf(file.size, spoken())].join(" · ")}</span>
      </a>
    );
  }
  return (
    <>
      <button type="button" className="thumbnail" aria-label={words("openImage", { name: file.name })} onClick={() => setOpen(true)}>
        <img src={address} alt={file.name} loading="lazy" onError={() => setMissing(true)} />
      </button>
      {open && (
        <Dialog title={file.name} onClose={() => setOpen(false)}>
          <img className="enlarged" src={address} alt={file.name} />
          <div className="buttons">
            <a className="quiet" href={address} download={file.name}>{words("saveFile")} ({sizeOf(file.size, spoken())})</a>
            <button type="button" autoFocus onClick={() => setOpen(false)}>{words("close")}</button>
          </div>
        </Dialog>
      )}
    </>
  );
}

const kindOf = ({ name, media_type: type }: File): string => (/\.(\w{1,5})$/.exec(name)?.[1] ?? type.split("/")[1] ?? "").toUpperCase();
