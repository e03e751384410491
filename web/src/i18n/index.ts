import { useSyncExternalStore } from "react";
import { words as answer } from "../answer/words";
import { words as commands } from "../commands/words";
import { words as composer } from "../composer/words";
import { words as controls } from "../controls/words";
import { words as conversation } from "../conversation/words";
import { words as diagnostics } from "../pages/diagnostics/words";
import { words as inbox } from "../pages/inbox/words";
import { words as memory } from "../pages/memory/words";
import { words as settings } from "../pages/settings/words";
import { words as shell } from "../shell/words";
import { words as sidebar } from "../sidebar/words";
import { words as common } from "./common";
import { fill, LANGUAGES, type Language, type Values } from "./fill";

const ALL = { ...common, ...answer, ...commands, ...composer, ...controls, ...conversation, ...diagnostics, ...inbox, ...memory, ...settings, ...shell, ...sidebar };
export type Word = keyof typeof ALL;
export type Say = (key: Word, values?: Values) => string;
export const isWord = (key: string): key is Word => Object.hasOwn(ALL, key);

const KEY = "legato.language";
const listeners = new Set<() => void>();

function first(): Language {
  const wanted = [localStorage.getItem(KEY), ...navigator.languages].map((tag) => tag?.slice(0, 2));
  return LANGUAGES.find((language) => language === wanted.find((tag) => LANGUAGES.some((each) => each === tag))) ?? "en";
}
let language = first();
document.documentElement.lang = language;

export function speak(next: Language): void {
  language = next;
  localStorage.setItem(KEY, next);
  document.documentElement.lang = next;
  for (const listener of listeners) listener();
}
export const spoken = (): Language => language;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** The words of the language that is spoken now. */
export function useWords(): Say {
  const now = useSyncExternalStore(subscribe, spoken);
  return (key, values) => fill(ALL[key][LANGUAGES.indexOf(now)] ?? "", now, values);
}
export type { Language, Values } from "./fill";
