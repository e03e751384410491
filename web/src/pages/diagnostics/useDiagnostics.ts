import type { Diagnostics, StreamEnd, UsageReport } from "legato-client";
import { useEffect, useState } from "react";
import { client } from "../../state/client";

const EVERY_MS = 4_000;
const DAYS = 30;
const FEWEST_MINUTES = 15;
const DAY_MS = 86_400_000;

export interface Told {
  now: Diagnostics;
  ends: readonly StreamEnd[];
  usage: UsageReport;
}

/** What the server tells of itself, every few seconds as long as somebody can see it. `unanswered`: not the last time. */
export function useDiagnostics(): { told: Told | undefined; unanswered: boolean } {
  const [told, setTold] = useState<Told>();
  const [unanswered, setUnanswered] = useState(false);
  useEffect(() => {
    let open = true;
    let timer: ReturnType<typeof setTimeout>;
    const look = async (): Promise<void> => {
      clearTimeout(timer);
      if (document.hidden) return;
      const found = await ask().catch(() => undefined);
      if (!open) return;
      if (found) setTold(found);
      setUnanswered(!found);
      clearTimeout(timer);
      timer = setTimeout(() => void look(), EVERY_MS);
    };
    const onVisible = (): void => void look();
    void look();
    document.addEventListener("visibilitychange", onVisible);
    return () => {
      open = false;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisible);
    };
  }, []);
  return { told, unanswered };
}

/** Where it has not run for an hour: no more than there is to see. */
function since({ open, started_at: started }: Diagnostics): Diagnostics["open"] {
  const lived = open.filter(({ at }) => Date.parse(at) + 60_000 > Date.parse(started)).length;
  return open.slice(-Math.max(lived, FEWEST_MINUTES));
}

async function ask(): Promise<Told> {
  const from = new Date(Date.now() - (DAYS - 1) * DAY_MS).toISOString().slice(0, 10);
  const [now, ends, usage] = await Promise.all([client.diagnostics(), client.streamEnds(), client.usage({ from, groupBy: ["day"] })]);
  return { now: { ...now, open: since(now) }, ends, usage };
}
