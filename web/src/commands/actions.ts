import { beginEdit } from "../composer/asides";
import { draftOf } from "../composer/drafts";
import { copyText } from "../controls/copyText";
import { plainText } from "../conversation/plainText";
import type { Say } from "../i18n";
import { notice } from "../state/problem";
import { write } from "./navigation";
import type { Situation } from "./situation";

export const isLastOwn = ({ role, message_type: kind }: { role: string; message_type?: string }): boolean => role === "user" && kind !== "continue";

/** What the person said last goes back to where it is written; what was being written waits aside. */
export function editLast({ session, messages }: Situation): void {
  const last = messages.findLast(isLastOwn);
  if (!session || !last) return;
  const draft = draftOf(session.id);
  const now = draft.read();
  if (now.edits?.messageId !== last.id) draft.put(beginEdit(now, last.id, plainText(last), plainText(last)));
  write();
}

export async function copyLast({ messages }: Situation, words: Say): Promise<void> {
  const answer = messages.findLast(({ role }) => role === "assistant");
  if (!answer) return;
  if (await copyText(plainText(answer))) notice.put(words("copiedAnswer"));
}

export function download(url: string): void {
  const link = document.createElement("a");
  link.href = url;
  link.download = "";
  link.click();
}
