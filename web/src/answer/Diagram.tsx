import diagramDocument from "virtual:diagram";
import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import { useWords } from "../i18n";
import { CodeBlock } from "./CodeBlock";

const HIGHEST = 3_000;
/** The colours of the page that a diagram is drawn in. */
const COLOURS = ["paper", "raised", "sunk", "ink", "muted", "line", "accent", "tint"] as const;

/**
 * Mermaid makes HTML from strings: it does so in a document of its own, which has no origin, no network, and nothing of
 * ours but the source of the diagram (see ../diagram). It tells how high it is, or that it can't be drawn.
 */
export function Diagram({ source }: { source: string }) {
  const words = useWords();
  const frame = useRef<HTMLIFrameElement>(null);
  const dark = useDark();
  const [height, setHeight] = useState(0);
  const [failed, setFailed] = useState(!diagramDocument);
  const [asSource, setAsSource] = useState(false);
  useEffect(() => {
    const draw = () => frame.current?.contentWindow?.postMessage({ source, dark, colours: colours() }, "*");
    const hear = ({ source: from, data }: MessageEvent<unknown>) => {
      if (!frame.current || from !== frame.current.contentWindow || typeof data !== "object" || !data) return;
      if ("ready" in data) draw();
      else if ("failed" in data) setFailed(true);
      else if ("height" in data && typeof data.height === "number") setHeight(Math.min(HIGHEST, Math.max(1, data.height)));
    };
    window.addEventListener("message", hear);
    draw();
    return () => window.removeEventListener("message", hear);
  }, [source, dark]);
  if (failed) return <CodeBlock text={source} language="mermaid" growing={false}><span className="failed">{words("diagramFailed")}</span></CodeBlock>;
  const shown = height > 0 && !asSource;
  return (
    <div className="diagram" data-state={height > 0 ? "drawn" : "drawing"}>
      {!shown && (
        <CodeBlock text={source} language="mermaid" growing={false}>
          {asSource && <button type="button" className="quiet" onClick={() => setAsSource(false)}>{words("showDiagram")}</button>}
        </CodeBlock>
      )}
      <div className={shown ? "drawing" : "drawing unseen"}>
        <iframe ref={frame} src={diagramDocument} sandbox="allow-scripts" loading="lazy" title={words("diagram")} height={height} />
        <button type="button" className="quiet" onClick={() => setAsSource(true)}>{words("showSource")}</button>
      </div>
    </div>
  );
}

function colours(): Record<string, string> {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

function useDark(): boolean {
  return useSyncExternalStore(
    (listener) => {
      const watch = new MutationObserver(listener);
      watch.observe(document.documentElement, { attributeFilter: ["data-theme"] });
      return () => watch.disconnect();
    },
    () => document.documentElement.dataset["theme"] === "dark",
  );
}
