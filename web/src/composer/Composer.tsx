import type { Mode } from "legato-client";
import { useCallback, useEffect, useRef, useState, type ClipboardEvent, type KeyboardEvent } from "react";
import { editLast } from "../commands/actions";
import { possible } from "../commands/commands";
import { situation } from "../commands/situation";
import { optionId } from "../controls/Options";
import { isComposing } from "../controls/isComposing";
import { useWords } from "../i18n";
import { NEW } from "../state/choices";
import { conversations, send } from "../state/conversations";
import type { SentFile } from "../state/outbox";
import { sendWith } from "../state/preferences";
import { goTo } from "../state/route";
import { useStore } from "../state/store";
import { AttachButton } from "./AttachButton";
import { attach, checkFiles } from "./attachments";
import { Attachments } from "./Attachments";
import { Count } from "./Count";
import { draftOf, type Draft } from "./drafts";
import { MOST_CHARACTERS, nearLimit } from "./limits";
import { agentFor, AgentPicker, modelFor, ModelPicker } from "./Pickers";
import { SendButtons } from "./SendButtons";
import { Suggested, SUGGESTED } from "./Suggested";
import { useDrop } from "./useDrop";
import { useSelection } from "./useSelection";
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

export function Composer({ sessionId, running, stopping = false, disabled, onStop }: Props) {
  const words = useWords();
  const conversation = sessionId ?? NEW;
  const draft = draftOf(conversation);
  const { text, files, edits } = useStore(draft);
  const field = useRef<HTMLTextAreaElement>(null);
  const [mode, setMode] = useState<Mode>("queue");
  const { caret, setCaret, replace, filling, fillNext, stopFilling } = useSelection(field, draft);
  const suggestions = useSuggestions({ sessionId, conversation, draft, text, caret, replace });
  const takeFiles = useCallback((taken: Iterable<File>) => attach(conversation, [...taken]), [conversation]);
  const isOver = useDrop(takeFiles, disabled);
  const focus = () => {
    // On a phone the keyboard would cover what the person came to read.
    if (matchMedia("(hover: hover)").matches) field.current?.focus({ preventScroll: true });
  };
  useEffect(() => {
    if (!document.querySelector("dialog[open]")) focus();
    field.current?.setSelectionRange(field.current.value.length, field.current.value.length); // one goes on writing
    void checkFiles(conversation);
    return () => draftOf(conversation).write();
  }, [conversation]);

  const count = nearLimit(text);
  const isTooLong = count !== null && count > MOST_CHARACTERS;
  const isUploading = files.some(({ id, problem }) => !id && !problem);
  const ready = files.flatMap(({ id, name, size }) => (id ? [{ id, name, size }] : []));
  const hasWords = text.trim() !== "" || ready.length > 0;
  const maySend = hasWords && !disabled && !isUploading && !isTooLong;

  const submit = () => {
    if (!maySend) return;
    const given = { mode: running ? mode : "queue", files: withOld(ready, sessionId, edits), modelId: modelFor(sessionId) } as const;
    const sent = send(sessionId, text.trim(), { ...given, agentId: agentFor(), ...(edits ? { edits: edits.messageId } : {}) });
    // What could not go along stays, so that nobody thinks it did.
    draft.put({ text: edits?.aside ?? "", files: files.filter(({ problem }) => problem) });
    draft.write();
    setMode("queue");
    stopFilling();
    if (sessionId === null) goTo(sent);
  };
  const stop = () => {
    onStop?.();
    focus(); // the button goes
  };
  const stopEditing = () => draft.put({ text: edits?.aside ?? "", files });
  const sendAsFile = async () => {
    field.current?.focus();
    const isThere = await takeFiles([new File([text], "message.txt", { type: "text/plain" })]);
    // The words stay where they are until the server has them.
    if (isThere && draft.read().text === text) draft.change({ text: "" });
  };
  /** Goes one step back: from a template, from an edit, from an answer. */
  const leave = () => {
    if (filling) stopFilling();
    else if (edits) stopEditing();
    else if (running) onStop?.();
  };
  const recall = (): boolean => {
    const now = situation();
    const may = text === "" && files.length === 0 && possible(now).some(({ id }) => id === "edit");
    if (may) editLast(now);
    return may;
  };
  const onKeyDown = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    // While an input method composes, Enter picks a word.
    if (isComposing(event) || event.shiftKey || event.altKey || suggestions.onKey(event)) return;
    const { key, currentTarget } = event;
    if (key === "Escape") return leave();
    if (key === "Enter" && sendWith.read() === "ctrl-enter" && !event.ctrlKey && !event.metaKey) return;
    if (key === "Enter") submit();
    else if (key === "Tab" ? !filling || !fillNext(currentTarget.selectionEnd) : key !== "ArrowUp" || !recall()) return;
    event.preventDefault();
  };
  const onPaste = (event: ClipboardEvent) => {
    const { files: pasted, types } = event.clipboardData;
    // What is copied from a document comes as words and as a picture of them: the words are meant.
    if (pasted.length === 0 || types.includes("text/plain")) return;
    event.preventDefault();
    takeFiles(pasted);
  };
  return (
    <form id="composer" className={isOver ? "composer over" : "composer"} onSubmit={(event) => { event.preventDefault(); submit(); }}>
      <Suggested {...suggestions} />
      {isOver && <p className="drop-hint" role="status">{words("dropHere")}</p>}
      {edits && <p className="editing" role="status">{words("editingLast")} {edits.aside && words("asideWaits")} <button type="button" className="quiet" onClick={() => { stopEditing(); field.current?.focus(); }}>{words("cancel")}</button></p>}
      <Attachments conversation={conversation} files={files} />
      <textarea
        id="text" ref={field} rows={1} value={text} disabled={disabled} dir="auto" aria-label={words("ask")} placeholder={words("ask")}
        aria-autocomplete="list" aria-controls={suggestions.kind ? SUGGESTED : undefined} aria-describedby={count === null ? undefined : "count"}
        aria-activedescendant={suggestions.kind ? optionId(SUGGESTED, suggestions.active) : undefined} aria-invalid={isTooLong || undefined}
        onChange={(event) => {
          draft.change({ text: event.target.value });
          setCaret(event.target.selectionStart);
          suggestions.setActive(0);
        }}
        onSelect={(event) => setCaret(event.currentTarget.selectionStart)} onKeyDown={onKeyDown} onPaste={onPaste}
      />
      {count !== null && <Count count={count} onAttach={() => void sendAsFile()} />}
      <div className="composer-row">
        <AttachButton disabled={disabled} onFiles={takeFiles} />
        <AgentPicker sessionId={sessionId} />
        <ModelPicker sessionId={sessionId} />
        <SendButtons running={running} stopping={stopping} hasWords={hasWords} maySend={maySend} mode={mode} onMode={setMode} onStop={stop} />
      </div>
    </form>
  );
}

/** Words alone leave a changed message its files; new ones would take their place, so the old ones go along. */
function withOld(files: readonly SentFile[], sessionId: string | null, edits: Draft["edits"]) {
  const message = sessionId && edits && conversations.get(sessionId).read().messages.find(({ id }) => id === edits.messageId);
  if (!message || files.length === 0) return files;
  const old = (message.parts ?? []).flatMap((part) => (part.type === "file" ? [{ id: part.file_id, name: part.name, size: part.size }] : []));
  return [...old, ...files];
}
