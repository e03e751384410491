import { memo, useEffect, useRef, useState, type ReactNode } from "react";
import { useWords } from "../i18n";
import { CopyButton } from "../controls/CopyButton";
import type { Token } from "./highlight";

/** What is longer stays in one colour: it would take too long. */
const MOST = 60_000;
const PAUSE_MS = 120;

interface Coloured {
  text: string;
  lines: Token[][];
}
const NOTHING: Coloured = { text: "", lines: [] };

interface Props {
  text: string;
  language: string;
  growing: boolean;
  /** Stands in its head. */
  children?: ReactNode;
}

export function CodeBlock({ text, language, growing, children }: Props) {
  const words = useWords();
  const [wrapped, setWrapped] = useState(false);
  const coloured = useColours(text, language, growing);
  return (
    <figure className="code">
      <figcaption>
        <span className="language">{language}</span>
        {children}
        <button type="button" className="quiet" aria-pressed={wrapped} onClick={() => setWrapped(!wrapped)}>{words("wrap")}</button>
        <CopyButton text={() => text} />
      </figcaption>
      <pre tabIndex={0} className={wrapped ? "wrapped" : ""} dir="ltr">
        <code>
          {coloured.lines.map((line, index) => <Line key={index} tokens={line} />)}
          {text.slice(coloured.text.length)}
          {growing && <span className="caret" aria-hidden="true" />}
        </code>
      </pre>
    </figure>
  );
}

const Line = memo(
  function Line({ tokens }: { tokens: Token[] }) {
    return tokens.map(({ text, kind }, index) => (kind ? <span key={index} className={kind}>{text}</span> : text));
  },
  ({ tokens: one }, { tokens: other }) =>
    one.length === other.length && one.every(({ text, kind }, index) => text === other[index]?.text && kind === other[index].kind),
);

/** As much of the code as has its colours. What grows gets them line by line, the more seldom the more there is. */
function useColours(text: string, language: string, growing: boolean): Coloured {
  const [coloured, setColoured] = useState(NOTHING);
  const last = useRef(0);
  const wanted = growing ? text.slice(0, text.lastIndexOf("\n") + 1) : text;
  const due = Boolean(language) && wanted.length <= MOST && wanted !== coloured.text;
  useEffect(() => {
    if (!due) return;
    let current = true;
    const colour = async () => {
      const { linesOf } = await import("./highlight");
      if (!current) return;
      last.current = performance.now();
      setColoured({ text: wanted, lines: linesOf(wanted, language.toLowerCase()) ?? [[{ text: wanted, kind: "" }]] });
    };
    const pause = growing ? PAUSE_MS * (1 + wanted.length / 5_000) : 0;
    const timer = setTimeout(() => void colour(), Math.max(0, last.current + pause - performance.now()));
    return () => { current = false; clearTimeout(timer); };
  }, [due, wanted, language, growing]);
  return text.startsWith(coloured.text) ? coloured : NOTHING;
}
