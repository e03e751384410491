import { useEffect, useRef, useState } from "react";

/** Up to so many characters are read again with every frame. */
const QUICK = 4_000;

/** A text that grows, as often as it pays to read it: the longer it is, the more seldom. */
export function usePaced(text: string, growing: boolean): string {
  const pause = growing && text.length > QUICK ? 50 * 2 ** Math.floor(Math.log2(text.length / QUICK)) : 0;
  const [shown, setShown] = useState(text);
  const latest = useRef(text);
  useEffect(() => { latest.current = text; }, [text]);
  useEffect(() => {
    if (!pause) return;
    const timer = setInterval(() => setShown(latest.current), pause);
    return () => clearInterval(timer);
  }, [pause]);
  if (!pause && shown !== text) setShown(text);
  return pause ? shown : text;
}
