import { useEffect, useLayoutEffect, useState, type RefObject } from "react";
import { afterDrawing } from "../commands/navigation";
import type { DraftStore } from "./drafts";
import { nextPlaceholder, type Range } from "./placeholders";
import { toInsert } from "./templates";

interface Selection {
  caret: number;
  setCaret: (caret: number) => void;
  /** Puts words in the place of those from there up to the caret. */
  replace: (from: number, words: string) => void;
  /** Whether a template is being filled in: then Tab goes from one placeholder to the next. */
  filling: boolean;
  /** Goes on to the next placeholder; false where there is none. */
  fillNext: (from: number) => boolean;
  stopFilling: () => void;
}

/** Where in the text one is, and what is put there by other hands: completions and templates. */
export function useSelection(field: RefObject<HTMLTextAreaElement | null>, draft: DraftStore): Selection {
  const [caret, setCaret] = useState(0);
  const [filling, setFilling] = useState(false);
  const [wanted, setWanted] = useState<Range | null>(null);
  useLayoutEffect(() => {
    // Once the words are in the field.
    if (!wanted) return;
    field.current?.focus();
    field.current?.setSelectionRange(wanted.start, wanted.end);
  }, [field, wanted]);
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
      setWanted(first ?? { start: whole.length, end: whole.length });
    };
    // It may have been asked for on a page without a composer.
    afterDrawing(take);
    return toInsert.subscribe(take);
  }, [draft]);
  const replace = (from: number, words: string) => {
    const { text } = draft.read();
    draft.change({ text: text.slice(0, from) + words + text.slice(caret) });
    setCaret(from + words.length);
    setWanted({ start: from + words.length, end: from + words.length });
  };
  const fillNext = (from: number): boolean => {
    const next = nextPlaceholder(draft.read().text, from);
    setFilling(next !== null);
    if (next) setWanted(next);
    return next !== null;
  };
  return { caret, setCaret, replace, filling, fillNext, stopFilling: () => setFilling(false) };
}
