import { useEffect, useRef, useState } from "react";
import { useWords } from "../i18n";

/** KaTeX is fetched when the first formula comes; it builds nodes, no HTML from strings. Until then the source stands here. */
export function Maths({ source, display }: { source: string; display: boolean }) {
  const words = useWords();
  const place = useRef<HTMLSpanElement>(null);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    let wanted = true;
    const draw = async () => {
      const { default: katex } = await import("./katex");
      if (!wanted || !place.current) return;
      try {
        katex.render(source, place.current, { displayMode: display, trust: false, strict: "ignore", throwOnError: true, maxExpand: 200, maxSize: 20 });
        setFailed(false);
      } catch {
        place.current.textContent = source;
        setFailed(true);
      }
    };
    void draw();
    return () => { wanted = false; };
  }, [source, display]);
  return <span ref={place} className={display ? "maths display" : "maths"} title={failed ? words("mathFailed") : undefined} />;
}
