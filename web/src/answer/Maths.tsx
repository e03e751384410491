import { useLayoutEffect, useRef, useState } from "react";
import { useWords } from "../i18n";
import { OPEN } from "./unfinished";

type Katex = (typeof import("./katex"))["default"];
let loaded: Katex | null = null;

interface Props {
  source: string;
  display: boolean;
}

/** KaTeX is fetched when the first formula comes; it builds nodes, no HTML from strings. Until then the source stands here. */
export function Maths({ source, display }: Props) {
  const words = useWords();
  const place = useRef<HTMLSpanElement>(null);
  const [state, setState] = useState<"written" | "drawn" | "failed">("written");
  useLayoutEffect(() => {
    let wanted = true;
    const write = (next: "written" | "failed") => {
      if (place.current) place.current.textContent = source.replace(OPEN, "");
      setState(next);
    };
    const draw = (katex: Katex) => {
      if (!wanted || !place.current) return;
      try {
        katex.render(source, place.current, { displayMode: display, trust: false, strict: "ignore", throwOnError: true, maxExpand: 200, maxSize: 20 });
        setState("drawn");
      } catch {
        write("failed");
      }
    };
    if (source.endsWith(OPEN)) write("written");
    else if (loaded) draw(loaded);
    else {
      write("written");
      void import("./katex").then((katex) => draw((loaded = katex.default)));
    }
    return () => { wanted = false; };
  }, [source, display]);
  return <span ref={place} className={display ? "maths display" : "maths"} data-state={state} title={state === "failed" ? words("mathFailed") : undefined} />;
}
