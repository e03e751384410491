import { Legato, LegatoError, type ReasonCode } from "legato-client";
import { insist } from "./patience";
import { Store } from "./store";

export interface Report {
  code: ReasonCode;
  detail: string;
  sessionId: string | undefined;
  /** Milliseconds since 1970. */
  at: number;
}

const MOST_REPORTS = 200;
const AT_ONCE = 100;
const GATHER_MS = 3_000;

/** Why this tab's streams ended, the newest last. */
export const reports = new Store<readonly Report[]>([]);

export const client = new Legato({
  onReport: (code, detail, sessionId) => {
    const report = { code, detail, sessionId, at: Date.now() };
    reports.put([...reports.read().slice(1 - MOST_REPORTS), report]);
    untold = [...untold.slice(1 - AT_ONCE), report];
    due ??= setTimeout(() => void tell(), GATHER_MS);
  },
});

/** Asks once: for those who insist by themselves. */
export const once = new Legato({ retryForMs: 0 });

/** What the server has not been told: several together, and at the latest when the page is left. */
let untold: readonly Report[] = [];
let due: ReturnType<typeof setTimeout> | undefined;
// Nobody's answer depends on it.
addEventListener("pagehide", () => void send().catch(() => undefined));

async function tell(): Promise<void> {
  await insist(send).catch(() => undefined);
  due = untold.length > 0 ? setTimeout(() => void tell(), GATHER_MS) : undefined;
}

async function send(): Promise<void> {
  const told = untold;
  untold = [];
  if (told.length === 0) return;
  const ends = told.map(({ code, sessionId, at }) => ({ code, session_id: sessionId, at: new Date(at).toISOString() }));
  try {
    await client.reportStreams(ends);
  } catch (error) {
    // What the server does not take for a report, it would not take later.
    if (error instanceof LegatoError && error.repeatable) untold = [...told, ...untold].slice(-AT_ONCE);
    throw error;
  }
}
