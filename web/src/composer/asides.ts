import type { SentFile } from "../state/outbox";
import type { Draft } from "./drafts";

const joined = (first: string, second: string): string => [first, second].filter(Boolean).join("\n");

/** The message is changed where one writes; what was being written, another edit too, waits aside. `original`: its words as they were sent. */
export function beginEdit(now: Draft, messageId: string, text: string, original?: string): Draft {
  const { edits } = now;
  const begun = edits && now.text !== edits.original && now.text !== text ? now.text : "";
  const aside = edits ? joined(edits.aside, begun) : now.text;
  return { ...now, text, edits: { messageId, aside, ...(original === undefined ? {} : { original }) } };
}

interface Returned {
  text: string;
  files?: readonly SentFile[];
  edits?: string | undefined;
}

/** What was not sent goes back to where it was written, before all that is being written now. */
export function giveBack(now: Draft, { text, files = [], edits }: Returned): Draft {
  const back = files.filter(({ id }) => now.files.every((each) => each.id !== id)).map((file) => ({ ...file, key: file.id, own: false }));
  const whole = { ...now, files: [...now.files, ...back] };
  if (edits) return beginEdit(whole, edits, text);
  if (now.edits) return { ...whole, edits: { ...now.edits, aside: joined(text, now.edits.aside) } };
  return { ...whole, text: joined(text, now.text) };
}
