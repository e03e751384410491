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
import { Kept } from "../state/kept";
import { useStore } from "../state/store";
import { words as common } from "./common";
import { fill, LANGUAGES, type Language, type Values } from "./fill";

const ALL = { ...common, ...answer, ...commands, ...composer, ...controls, ...conversation, ...diagnostics, ...inbox, ...memory, ...settings, ...shell, ...sidebar };
export type Word = keyof typeof ALL;
export type Say = (key: Word, values?: Values) => string;
export const isWord = (key: string): key is Word => Object.hasOwn(ALL, key);

/** A sentence, or that of which this is the key. */
export const told = (words: Say, text: string): string => (isWord(text) ? words(text) : text);

const isLanguage = (found: unknown): boolean => LANGUAGES.some((language) => language === found);
const ofTheBrowser = (): Language => navigator.languages.map((tag) => tag.slice(0, 2) as Language).find(isLanguage) ?? "en";
const language = new Kept<Language>("language", ofTheBrowser(), isLanguage);
const show = (): void => {
  document.documentElement.lang = language.read();
};
language.subscribe(show);
show();

export const speak = (next: Language): void => language.put(next);
export const spoken = (): Language => language.read();

/** The words of the language that is spoken now. */
export function useWords(): Say {
  const now = useStore(language);
  return (key, values) => fill(ALL[key][LANGUAGES.indexOf(now)] ?? "", now, values);
}
export type { Language, Values } from "./fill";
