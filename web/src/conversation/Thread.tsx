import type { Message } from "legato-client";
import { useCallback, useEffect, useMemo, useRef, useState, type ReactNode } from "react";
import { Virtualizer, type VirtualizerHandle } from "virtua";
import { useWords } from "../i18n";
import { openTurns, turnOf, type Conversation, type Shown } from "../state/conversations";
import { act } from "../state/problem";
import { MessageView } from "./MessageView";
import { OtherBranch } from "./OtherBranch";
import { useJump } from "./useJump";
import { useTail } from "./useTail";

/** So few messages stay in the document all at once: found by the browser's own search, and read in one go. */
const FEW = 100;
/** So close to the top older messages are fetched, in pixels. */
const NEAR_THE_TOP = 1500;

interface Props {
  conversation: Conversation;
  shown: Shown;
  label: string;
  /** The message to go to. */
  wanted: string | null;
  summarised: ReactNode;
  summarisedUpTo: string | undefined;
  children: ReactNode;
}

/** The messages: those in sight are in the document, and the scroll stays where the reader put it. */
export function Thread({ conversation, shown, label, wanted, summarised, summarisedUpTo, children }: Props) {
  const words = useWords();
  const list = useRef<VirtualizerHandle>(null);
  const [editing, setEditing] = useState<string | null>(null);
  const [stuck, setStuck] = useState(false);
  const { state, messages, branches, notices, loadingEarlier, prepended } = shown;
  const busy = openTurns(state).length > 0;
  const hasMore = state?.has_more ?? false;
  const earlier = useCallback(async () => {
    setStuck((await act(() => conversation.earlier().then(() => true))) !== true);
  }, [conversation]);
  const { scroller, content, following, toEnd, release, onScroll } = useTail(conversation, list, messages);
  const { marked, elsewhere, forget, follow } = useJump(conversation, list, wanted, release);
  const last = messages.at(-1);
  const seen = useSeen(last, following);
  const keepMounted = useMemo(() => {
    if (!hasMore && messages.length <= FEW) return messages.map((_, index) => index);
    const at = messages.findIndex((message) => message.id === editing);
    return at < 0 ? [] : [at];
  }, [messages, hasMore, editing]);
  useEffect(() => {
    // A first page may leave the view unfilled: then nothing scrolls that could ask for more.
    const view = scroller.current;
    if (view && hasMore && messages.length > 0 && !loadingEarlier && !stuck && view.scrollHeight < view.clientHeight + NEAR_THE_TOP) void earlier();
  }, [scroller, hasMore, messages.length, loadingEarlier, stuck, earlier]);
  const scrolled = () => {
    onScroll();
    const view = scroller.current;
    if (view && hasMore && !loadingEarlier && !stuck && view.scrollTop < NEAR_THE_TOP) void earlier();
  };
  const view = (message: Message) => (
    <div key={message.id} className="line" data-found={marked === message.id || undefined}>
      <MessageView
        message={message} isLast={message === last} busy={busy} readOnly={state?.session.read_only ?? false}
        turn={turnOf(message, state)} siblings={branches[message.id]}
        notices={notices} editing={editing === message.id} onEdit={setEditing}
      />
      {message.id === summarisedUpTo && summarised}
    </div>
  );
  return (
    <>
      <div ref={scroller} className="scroll" onScroll={scrolled} tabIndex={-1}>
        {(loadingEarlier || stuck) && hasMore && (
          <div className="earlier" role="status">
            {stuck ? <button type="button" onClick={() => void earlier()}>{words("earlier")}</button> : words("loadingEarlier")}
          </div>
        )}
        <div ref={content} className="column log" role="log" aria-label={label} aria-busy={busy}>
          <Virtualizer ref={list} scrollRef={scroller} data={messages} shift={prepended} keepMounted={keepMounted} bufferSize={800}>
            {view}
          </Virtualizer>
          {children}
        </div>
      </div>
      {!following && (
        <div className="column to-latest">
          <button type="button" className="latest" aria-label={words(seen === last ? "latest" : "latestNew")} onClick={toEnd}>
            ↓{seen !== last && <span className="fresh">{words("somethingNew")}</span>}
          </button>
        </div>
      )}
      {elsewhere && <OtherBranch onGo={follow} onClose={forget} />}
    </>
  );
}

/** The newest message as the reader saw it last, when they were at the end. */
function useSeen(last: Message | undefined, following: boolean): Message | undefined {
  const [seen, setSeen] = useState(last);
  if (following && seen !== last) setSeen(last);
  return seen;
}
