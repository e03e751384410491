import { useCallback, useEffect, useEffectEvent, useState, type RefObject } from "react";
import type { VirtualizerHandle } from "virtua";
import { useWords } from "../i18n";
import type { Conversation } from "../state/conversations";
import { act, problem } from "../state/problem";

const MARKED_MS = 2500;

/** Goes to the message that the address names: loads what is missing, scrolls to it and marks it for a moment. */
export function useJump(conversation: Conversation, list: RefObject<VirtualizerHandle | null>, wanted: string | null, release: () => void) {
  const words = useWords();
  const [marked, setMarked] = useState<string | null>(null);
  const [elsewhere, setElsewhere] = useState<string | null>(null);

  const show = useCallback(async (messageId: string) => {
    const index = conversation.read().messages.findIndex((message) => message.id === messageId);
    if (index < 0) return;
    await new Promise(requestAnimationFrame);
    release();
    list.current?.scrollToIndex(index, { align: "center" });
    setMarked(messageId);
    setTimeout(() => setMarked((now) => (now === messageId ? null : now)), MARKED_MS);
  }, [conversation, list, release]);

  const sayGone = useEffectEvent(() => problem.put(words("messageGone")));
  useEffect(() => {
    if (!wanted) return;
    let stays = true;
    const go = async () => {
      const where = await act(() => conversation.find(wanted));
      if (!stays) return;
      if (where === "here") await show(wanted);
      else if (where === "elsewhere") setElsewhere(wanted);
      else if (where === "nowhere") sayGone();
    };
    void go();
    return () => { stays = false; };
  }, [conversation, wanted, show]);

  const forget = () => setElsewhere(null);
  const follow = async () => {
    const messageId = elsewhere;
    forget();
    if (!messageId) return;
    const where = await act(() => conversation.switchTo(messageId).then(() => conversation.find(messageId)));
    if (where === "here") await show(messageId);
  };
  return { marked, elsewhere, forget, follow: () => void follow() };
}
