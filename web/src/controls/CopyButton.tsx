import { useState } from "react";
import { useWords } from "../i18n";
import { copyText } from "./copyText";

export function CopyButton({ text }: { text: () => string }) {
  const words = useWords();
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    if (!(await copyText(text()))) return;
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return <button type="button" className="quiet" onClick={() => void copy()}>{words(copied ? "copied" : "copy")}</button>;
}
