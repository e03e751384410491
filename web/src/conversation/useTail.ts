import type { Message } from "legato-client";
import { useCallback, useEffect, useLayoutEffect, useRef, useState, type RefObject } from "react";
import type { VirtualizerHandle } from "virtua";
import { conversations, type Conversation } from "../state/conversations";

/** Closer than this to the end is at the end, in pixels. */
const AT_THE_END = 24;

/**
 * A growing text pulls the view along only while its reader is at the end. Where they are is remembered above the view,
 * and found again when they come back.
 */
export function useTail(conversation: Conversation, list: RefObject<VirtualizerHandle | null>, messages: readonly Message[]) {
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const [following, setFollowing] = useState(conversation.place === null);
  const follows = useRef(conversation.place === null);
  const before = useRef({ top: 0, height: 0, settled: false });

  const set = useCallback((now: boolean) => {
    follows.current = now;
    setFollowing(now);
  }, []);
  const pin = useCallback(() => {
    const view = scroller.current;
    if (view && follows.current) view.scrollTop = view.scrollHeight;
  }, []);
  const toEnd = useCallback(() => {
    set(true);
    conversation.remember(null);
    pin();
  }, [conversation, set, pin]);
  const release = useCallback(() => set(false), [set]);

  const opened = messages.length > 0;
  useLayoutEffect(() => {
    if (!opened || before.current.settled) return;
    before.current.settled = true;
    const { place } = conversation;
    const at = messages.findIndex((message) => message.id === place?.messageId);
    follows.current = !place || at < 0;
    if (place && at >= 0) list.current?.scrollToIndex(at, { align: "start", offset: place.into });
    else pin();
  }, [opened, messages, conversation, list, pin]);

  useEffect(() => {
    const view = scroller.current;
    if (!view || !content.current) return;
    const watch = new ResizeObserver(pin);
    watch.observe(view);
    watch.observe(content.current);
    // Whoever turns the wheel up reads, however fast the text grows.
    const onWheel = (event: WheelEvent) => { if (event.deltaY < 0 && view.scrollTop > 0) release(); };
    view.addEventListener("wheel", onWheel, { passive: true });
    return () => { watch.disconnect(); view.removeEventListener("wheel", onWheel); };
  }, [pin, release]);

  useEffect(() => {
    const mine = () => conversations.outbox.read().filter((entry) => entry.sessionId === conversation.id && !entry.edits).length;
    let known = mine();
    return conversations.outbox.subscribe(() => {
      const now = mine();
      if (now > known) toEnd();
      known = now;
    });
  }, [conversation, toEnd]);

  const onScroll = () => {
    const view = scroller.current;
    if (!view || !before.current.settled) return;
    const { scrollTop: top, scrollHeight: height } = view;
    const atEnd = height - top - view.clientHeight <= AT_THE_END;
    // Not where the text itself has changed its height: that moves the view, too.
    const wentUp = top < before.current.top - 1 && height === before.current.height;
    const now = atEnd || (follows.current && !wentUp);
    if (now !== follows.current || now !== following) set(now);
    before.current = { top, height, settled: true };
    conversation.remember(now ? null : placeOf(list.current, messages, top));
  };
  return { scroller, content, following, toEnd, release, onScroll };
}

function placeOf(list: VirtualizerHandle | null, messages: readonly Message[], top: number) {
  const index = list?.findItemIndex(top) ?? 0;
  const messageId = messages[index]?.id;
  return list && messageId ? { messageId, into: top - list.getItemOffset(index) } : null;
}
