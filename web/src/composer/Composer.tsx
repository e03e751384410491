import type { Mode } from "legato-client";
import { useEffect, useRef, useState } from "react";
import { useWords } from "../i18n";
import { chosenAgent, chosenModel } from "../state/choices";
import { send } from "../state/conversations";
import { takenBack } from "../state/outbox";
import { goTo } from "../state/route";
import "./composer.css";

interface Props {
  /** Null: what is sent begins a conversation. */
  sessionId: string | null;
  running: boolean;
  stopping?: boolean;
  disabled: boolean;
  onStop?: () => void;
}

/** Drafts are kept a session, through reloads. */
function useDraft(of: string): [string, (text: string) => void] {
  const key = `legato.draft.${of}`;
  const [draft, setDraft] = useState(() => localStorage.getItem(key) ?? "");
  const keep = (text: string) => {
    setDraft(text);
    if (text) localStorage.setItem(key, text);
    else localStorage.removeItem(key);
  };
  return [draft, keep];
}

export function Composer({ sessionId, running, stopping = false, disabled, onStop }: Props) {
  const words = useWords();
  const field = useRef<HTMLTextAreaElement>(null);
  const [draft, setDraft] = useDraft(sessionId ?? "new");
  const [mode, setMode] = useState<Mode>("queue");
  useEffect(() => {
    // On a phone the keyboard would cover what the person came to read.
    if (matchMedia("(hover: hover)").matches) field.current?.focus({ preventScroll: true });
  }, []);
  useEffect(() => takenBack.subscribe(() => {
    const taken = takenBack.read();
    if (taken?.sessionId !== sessionId) return;
    takenBack.put(null);
    setDraft(draft ? `${taken.text}\n${draft}` : taken.text);
    field.current?.focus();
  }));
  const submit = () => {
    const text = draft.trim();
    if (!text || disabled) return;
    setDraft("");
    setMode("queue");
    const sent = send(sessionId, text, { mode: running ? mode : "queue", agentId: chosenAgent.read() || undefined, modelId: chosenModel.read() || undefined });
    if (sessionId === null) goTo(sent);
  };
  return (
    <form id="composer" className="composer" onSubmit={(event) => { event.preventDefault(); submit(); }}>
      <textarea
        id="text" ref={field} rows={1} value={draft} disabled={disabled} dir="auto"
        aria-label={words("ask")} placeholder={words("ask")}
        onChange={(event) => setDraft(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape" && running) onStop?.();
          // While an input method composes, Enter picks a word.
          if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
          event.preventDefault();
          submit();
        }}
      />
      <div className="composer-row">
        {running && (
          <select id="mode" value={mode} aria-label={words("whileRunning")} onChange={(event) => setMode(event.target.value as Mode)}>
            <option value="queue">{words("queueIt")}</option>
            <option value="interrupt">{words("interrupt")}</option>
            <option value="steer">{words("steer")}</option>
          </select>
        )}
        {running && <button type="button" onClick={onStop} disabled={stopping}>{words(stopping ? "stopping" : "stop")}</button>}
        <button type="submit" className="primary" disabled={disabled || !draft.trim()}>{words("send")}</button>
      </div>
    </form>
  );
}
