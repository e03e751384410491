import type { Mode } from "legato-client";
import { useCallback, useEffect, useLayoutEffect, useRef, useState, type KeyboardEvent } from "react";
import { editLast } from "../commands/actions";
import { possible } from "../commands/commands";
import { afterDrawing } from "../commands/navigation";
import { situation } from "../commands/situation";
import { optionId, Options } from "../controls/Options";
import { useWords } from "../i18n";
import { NEW } from "../state/choices";
import { conversations, send } from "../state/conversations";
import { goTo } from "../state/route";
import { useStore } from "../state/store";
import { attach, checkFiles } from "./attachments";
import { Attachments } from "./Attachments";
import { draftOf, type Draft } from "./drafts";
import { MOST_CHARACTERS, nearLimit } from "./limits";
import { agentFor, AgentPicker, modelFor, ModelPicker } from "./Pickers";
import { nextPlaceholder } from "./placeholders";
import { toInsert } from "./templates";
import { useDrop } from "./useDrop";
import { useSuggestions } from "./useSuggestions";
import "./composer.css";

interface Props {
  /** Null: what is sent begins a conversation. */
  sessionId: string | null;
  running: boolean;
  stopping?: boolean;
  disabled: boolean;
  onStop?: () => void;
}

const LIST = "suggestions";

export function Composer({ sessionId, running, stopping = false, disabled, onStop }: Props) {
  const words = useWords();
  const conversation = sessionId ?? NEW;
  const draft = draftOf(conversation);
  const { text, files, edits } = useStore(draft);
  const field = useRef<HTMLTextAreaElement>(null);
  const chooser = useRef<HTMLInputElement>(null);
  const [caret, setCaret] = useState(0);
  const [mode, setMode] = useState<Mode>("queue");
  /** Tab goes from one placeholder of a template to the next. */
  const [filling, setFilling] = useState(false);
  const takeFiles = useCallback((dropped: Iterable<File>) => attach(conversation, [...dropped]), [conversation]);
  const isOver = useDrop(takeFiles);

  useEffect(() => {
    // On a phone the keyboard would cover what the person came to read.
    if (matchMedia("(hover: hover)").matches && !document.querySelector("dialog[open]")) field.current?.focus({ preventScroll: true });
    void checkFiles(conversation);
    return () => draftOf(conversation).write();
  }, [conversation]);

  /** The caret is set once the words are in the field. */
  const [toSelect, setToSelect] = useState<{ start: number; end: number } | null>(null);
  useLayoutEffect(() => {
    if (!toSelect) return;
    field.current?.focus();
    field.current?.setSelectionRange(toSelect.start, toSelect.end);
  }, [toSelect]);
  const replace = (from: number, by: string) => {
    draft.change({ text: text.slice(0, from) + by + text.slice(caret) });
    setCaret(from + by.length);
    setToSelect({ start: from + by.length, end: from + by.length });
  };
  useEffect(() => {
    const take = () => {
      const template = toInsert.read();
      if (template === null) return;
      toInsert.put(null);
      const before = draft.read().text;
      const whole = before && !before.endsWith("\n") ? `${before}\n${template}` : before + template;
      draft.change({ text: whole });
      const first = nextPlaceholder(whole, before.length);
      setFilling(first !== null);
      setToSelect(first ?? { start: whole.length, end: whole.length });
    };
    // It may have been asked for on a page without a composer.
    afterDrawing(take);
    return toInsert.subscribe(take);
  }, [draft]);

  const suggestions = useSuggestions({ sessionId, conversation, draft, text, caret, replace });
  const count = nearLimit(text);
  const tooMany = count === null ? 0 : Math.max(0, count - MOST_CHARACTERS);
  const isUploading = files.some(({ id, problem }) => !id && !problem);
  const ready = files.flatMap(({ id, name }) => (id ? [{ id, name }] : []));
  const hasWords = text.trim() !== "" || ready.length > 0;
  const maySend = hasWords && !disabled && !isUploading && tooMany === 0;

  const submit = () => {
    if (!maySend) return;
    const given = { mode: running ? mode : "queue", files: withOld(ready, sessionId, edits), modelId: modelFor(sessionId) } as const;
    const sent = send(sessionId, text.trim(), { ...given, agentId: agentFor(), ...(edits ? { edits: edits.messageId } : {}) });
    // What could not go along stays, so that nobody thinks it did.
    draft.put({ text: edits?.aside ?? "", files: files.filter(({ problem }) => problem) });
    draft.write();
    setMode("queue");
    setFilling(false);
    if (sessionId === null) goTo(sent);
  };
  const stopEditing = () => draft.put({ text: edits?.aside ?? "", files });
  const asFile = () => {
    const file = new File([text], "message.txt", { type: "text/plain" });
    draft.change({ text: "" });
    attach(conversation, [file]);
    field.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    // While an input method composes, Enter picks a word.
    if (event.nativeEvent.isComposing || suggestions.onKey(event)) return;
    const isPlain = !event.shiftKey && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (!isPlain) return;
    if (event.key === "Tab" && filling) {
      const next = nextPlaceholder(text, event.currentTarget.selectionEnd);
      setFilling(next !== null);
      if (!next) return;
      setToSelect(next);
    } else if (event.key === "Escape") {
      if (filling) setFilling(false);
      else if (edits) stopEditing();
      else if (running) onStop?.();
      return;
    } else if (event.key === "ArrowUp" && text === "" && files.length === 0) {
      const now = situation();
      if (!possible(now).some(({ id }) => id === "edit")) return;
      editLast(now);
    } else if (event.key === "Enter") submit();
    else return;
    event.preventDefault();
  };
  return (
    <form id="composer" className={`composer ${isOver ? "over" : ""}`} onSubmit={(event) => { event.preventDefault(); submit(); }}>
      {suggestions.kind && (
        <div className="suggested" onKeyDown={suggestions.onKey}>
          <Options id={LIST} label={words(suggestions.kind === "command" ? "commands" : "mentions")} {...suggestions} onPick={suggestions.pick} />
          <p className="suggested-hint">{words(suggestions.kind === "command" ? "commandHint" : "mentionHint")}</p>
        </div>
      )}
      {isOver && <p className="drop-hint" role="status">{words("dropHere")}</p>}
      {edits && (
        <p className="editing" role="status">
          {words("editingLast")} <button type="button" className="quiet" onClick={stopEditing}>{words("cancel")}</button>
        </p>
      )}
      <Attachments conversation={conversation} files={files} />
      <textarea
        id="text" ref={field} rows={1} value={text} disabled={disabled} dir="auto" aria-label={words("ask")} placeholder={words("ask")}
        aria-autocomplete="list" aria-controls={suggestions.kind ? LIST : undefined} aria-describedby={count === null ? undefined : "count"} aria-invalid={tooMany > 0 || undefined}
        aria-activedescendant={suggestions.kind ? optionId(LIST, suggestions.active) : undefined}
        onChange={(event) => {
          draft.change({ text: event.target.value });
          setCaret(event.target.selectionStart);
          suggestions.setActive(0);
        }}
        onSelect={(event) => setCaret(event.currentTarget.selectionStart)} onKeyDown={onKeyDown}
        onPaste={(event) => {
          // What is copied from a document comes as words and as a picture of them: the words are meant.
          if (event.clipboardData.files.length === 0 || event.clipboardData.types.includes("text/plain")) return;
          event.preventDefault();
          takeFiles(event.clipboardData.files);
        }}
      />
      {count !== null && (
        <p id="count" className={tooMany > 0 ? "count bad" : "count"} role={tooMany > 0 ? "alert" : undefined}>
          {tooMany > 0 ? words("tooLong", { n: tooMany }) : words("characters", { n: count, all: MOST_CHARACTERS })}
          {tooMany > 0 && <button type="button" className="quiet" onClick={asFile}>{words("asFile")}</button>}
        </p>
      )}
      <div className="composer-row">
        <input
          id="attach" ref={chooser} type="file" multiple hidden accept="image/png,image/jpeg,image/gif,image/webp,application/pdf,text/*,.md,.json,.csv"
          onChange={(event) => { takeFiles(event.target.files ?? []); event.target.value = ""; }}
        />
        <button type="button" className="quiet plus" aria-label={words("attach")} title={words("attachTitle")} disabled={disabled} onClick={() => chooser.current?.click()}>+</button>
        <AgentPicker sessionId={sessionId} />
        <ModelPicker sessionId={sessionId} />
        <div className="composer-end">
          {running && (
            <select id="mode" value={mode} aria-label={words("whileRunning")} title={words(MODE_SAYS[mode])} onChange={(event) => setMode(event.target.value as Mode)}>
              <option value="queue">{words("queueIt")}</option>
              <option value="interrupt">{words("interrupt")}</option>
              <option value="steer">{words("steer")}</option>
            </select>
          )}
          {running && <button type="button" className={hasWords ? "quiet" : ""} onClick={onStop} disabled={stopping}>{words(stopping ? "stopping" : "stop")}</button>}
          {(!running || hasWords) && <button type="submit" className="primary" disabled={!maySend}>{words("send")}</button>}
        </div>
      </div>
    </form>
  );
}

const MODE_SAYS = { queue: "queueSays", interrupt: "interruptSays", steer: "steerSays", reject: "queueSays", rollback: "interruptSays" } as const satisfies Record<Mode, string>;

/** Words alone leave a changed message its files; new ones would take their place, so the old ones go along. */
function withOld(files: readonly { id: string; name: string }[], sessionId: string | null, edits: Draft["edits"]) {
  const message = sessionId && edits && conversations.get(sessionId).read().messages.find(({ id }) => id === edits.messageId);
  if (!message || files.length === 0) return files;
  const old = (message.parts ?? []).flatMap((part) => (part.type === "file" ? [{ id: part.file_id, name: part.name }] : []));
  return [...old, ...files];
}
