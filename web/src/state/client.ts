import { Legato, type ReasonCode } from "legato-client";
import { Store } from "./store";

export interface Report {
  code: ReasonCode;
  detail: string;
  /** Milliseconds since 1970. */
  at: number;
}

const MOST_REPORTS = 200;

/** Why this tab's streams ended, the newest last. */
export const reports = new Store<readonly Report[]>([]);

export const client = new Legato({
  onReport: (code, detail) => {
    reports.put([...reports.read().slice(1 - MOST_REPORTS), { code, detail, at: Date.now() }]);
  },
});
