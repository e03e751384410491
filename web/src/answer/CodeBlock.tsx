import { useState } from "react";
import { useWords } from "../i18n";
import { CopyButton } from "../controls/CopyButton";

export function CodeBlock({ text, language }: { text: string; language: string }) {
  const words = useWords();
  const [wrapped, setWrapped] = useState(false);
  return (
    <figure className="code">
      <figcaption>
        <span>{language}</span>
        <button type="button" className="quiet" aria-pressed={wrapped} onClick={() => setWrapped(!wrapped)}>{words("wrap")}</button>
        <CopyButton text={() => text} />
      </figcaption>
      <pre tabIndex={0} className={wrapped ? "wrapped" : ""}><code>{text}</code></pre>
    </figure>
  );
}
