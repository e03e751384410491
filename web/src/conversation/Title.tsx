import { useEffect, useRef, useState } from "react";

/** The tab says that an answer runs, and, to who looks elsewhere, that it has ended. */
export function Title({ title, running }: { title: string; running: boolean }) {
  const [ended, setEnded] = useState(false);
  const ran = useRef(running);
  useEffect(() => {
    if (ran.current && !running && document.hidden) setEnded(true);
    ran.current = running;
  }, [running]);
  useEffect(() => {
    const onLook = () => { if (!document.hidden) setEnded(false); };
    document.addEventListener("visibilitychange", onLook);
    return () => document.removeEventListener("visibilitychange", onLook);
  }, []);
  return <title>{`${running ? "● " : ended ? "✓ " : ""}${title} · Legato`}</title>;
}
