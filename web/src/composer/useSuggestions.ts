import type { Message } from "legato-client";
import { useMemo, useState, type KeyboardEvent } from "react";
import { possible } from "../commands/commands";
import { ranked } from "../commands/fuzzy";
import { situation } from "../commands/situation";
import { useChats } from "../commands/useChats";
import { useOptions, type Option } from "../controls/Options";
import { spoken, useWords } from "../i18n";
import { useStore } from "../state/store";
import { attachAgain } from "./attachments";
import type { DraftStore } from "./drafts";
import { sizeOf } from "../i18n/numbers";
import { mentionOf, triggerOf, type Trigger } from "./mentions";
import { shownOf } from "./shownOf";
import { slashOf, templates, toInsert } from "./templates";

type Suggestion = Option & { pick: () => void };

export interface Suggestions {
  kind: Trigger["kind"] | null;
  options: readonly Suggestion[];
  active: number;
  setActive: (index: number) => void;
  pick: (option: Option) => void;
  /** True where the key was for the list. */
  onKey: (event: KeyboardEvent) => boolean;
}

const MOST = 6;

interface Given {
  sessionId: string | null;
  conversation: string;
  draft: DraftStore;
  text: string;
  caret: number;
  /** Puts words in the place of what was typed from there on. */
  replace: (from: number, words: string) => void;
}

/** What can complete the word at the caret: a command or a template after a slash, a chat or a file after an @. */
export function useSuggestions({ sessionId, conversation, draft, text, caret, replace }: Given): Suggestions {
  const words = useWords();
  const trigger = triggerOf(text, caret);
  const place = trigger && `${trigger.kind}${String(trigger.start)}`;
  const [dismissed, setDismissed] = useState<string | null>(null);
  if (dismissed !== null && dismissed !== place) setDismissed(null);
  const wanted = trigger && dismissed !== place ? trigger : null;
  const chats = useChats(wanted?.kind === "mention" ? wanted.typed : null, MOST);
  const kept = useStore(templates);
  const files = useFiles(sessionId);

  const commands = (typed: string): Suggestion[] => {
    const now = situation();
    const begins = (slash: string | undefined) => slash?.startsWith(typed.toLowerCase());
    const own = possible(now).filter(({ slash }) => begins(slash)).map((command): Suggestion => ({
      id: command.id, label: `/${command.slash ?? ""}`, aside: words(command.says), pick: () => { draft.change({ text: "" }); command.run(now, words); },
    }));
    const prompts = kept.filter(({ name }) => begins(slashOf(name))).map((template): Suggestion => ({
      id: template.id, label: `/${slashOf(template.name)}`, aside: words("template"), pick: () => { draft.change({ text: "" }); toInsert.put(template.text); },
    }));
    return [...prompts, ...own];
  };
  const mentions = (typed: string, start: number): Suggestion[] => {
    const named = ranked(typed, files, ({ name }) => name).slice(0, MOST);
    return [
      ...named.map((file): Suggestion => ({
        id: file.id, label: file.name, aside: sizeOf(file.size, spoken()), group: words("filesHere"),
        pick: () => { replace(start, ""); attachAgain(conversation, file); },
      })),
      ...chats.filter(({ id }) => id !== conversation).map(({ id, title, agent_name: agent }): Suggestion => ({
        id, label: title || words("untitled"), aside: agent, group: words("recentChats"),
        pick: () => replace(start, `${mentionOf(title || words("untitled"), id)} `),
      })),
    ];
  };
  const options = !wanted ? [] : wanted.kind === "command" ? commands(wanted.typed) : mentions(wanted.typed, wanted.start);
  const pick = (option: Option) => options.find(({ id }) => id === option.id)?.pick();
  const listed = useOptions(options, pick);
  const onKey = (event: KeyboardEvent): boolean => {
    const active = options[listed.active];
    if (!active) return false;
    if (event.key === "Escape") setDismissed(place);
    else if (event.key === "Tab" && !event.shiftKey) active.pick();
    else return event.key !== "Home" && event.key !== "End" && listed.onKey(event);
    event.preventDefault();
    return true;
  };
  return { kind: options.length > 0 && wanted ? wanted.kind : null, options, active: listed.active, setActive: listed.setActive, pick, onKey };
}

/** The files that messages of the conversation have. */
function useFiles(sessionId: string | null) {
  const { messages } = useStore(shownOf(sessionId));
  return useMemo(() => filesOf(messages), [messages]);
}

function filesOf(messages: readonly Message[]) {
  const parts = messages.flatMap(({ parts: all = [] }) => all.flatMap((part) => (part.type === "file" ? [part] : [])));
  const named = new Map(parts.map((part) => [part.name, { id: part.file_id, name: part.name, size: part.size, mediaType: part.media_type }]));
  return [...named.values()].reverse();
}
