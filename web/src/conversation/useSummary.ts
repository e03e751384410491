import type { State, Summary } from "legato-client";
import { useEffect, useState } from "react";
import { client } from "../state/client";

/** What stands in the prompt for the beginning of the conversation; asked for anew when it stands for more. */
export function useSummary(sessionId: string, state: State | null): Summary | null {
  const [summary, setSummary] = useState<Summary | null>(null);
  const summarised = state?.turns.findLast((turn) => turn.context)?.context?.summarised ?? 0;
  useEffect(() => {
    if (summarised === 0) return;
    let stays = true;
    // Without it the conversation reads as well: nothing is said where it can't be told.
    client.summary(sessionId).then((found) => { if (stays) setSummary(found); }, () => undefined);
    return () => { stays = false; };
  }, [sessionId, summarised]);
  return summarised > 0 ? summary : null;
}
