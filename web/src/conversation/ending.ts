import type { Fault, Status, Turn } from "legato-client";
import { isWord, type Say, type Word } from "../i18n";

const ENDINGS: Partial<Record<Status, Word>> = { cancelled: "cancelled", failed: "failed", incomplete: "incomplete" };
/** Ends that need no word, although the protocol has one. */
const PLAIN: ReadonlySet<string> = new Set(["stop", "cancelled", "steered"]);

/** How a turn ended, in words; null where it is as it should be. The provider's own words stand above ours. */
export function ending({ status, error }: { status: Status; error?: Fault | null }, turn: Turn | undefined, words: Say): { text: string; bad: boolean } | null {
  const ended = ENDINGS[status];
  const reason = turn?.reason ?? error?.code ?? "";
  const named = `reason_${reason}`;
  const said = !PLAIN.has(reason) && isWord(named) ? words(named) : "";
  const why = turn?.text ?? error?.message ?? said;
  if (ended) return { text: [words(ended), why].filter(Boolean).join(": "), bad: status === "failed" };
  return said ? { text: said, bad: false } : null;
}
