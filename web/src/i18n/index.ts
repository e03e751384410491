import { useSyncExternalStore } from "react";
import { en, type Words } from "./en";
import { ru } from "./ru";
import { sv } from "./sv";

const LANGUAGES: Record<string, Words> = { en, sv, ru };
export type Language = "en" | "sv" | "ru";
const KEY = "legato.language";
const listeners = new Set<() => void>();

function first(): Language {
  const wanted = [localStorage.getItem(KEY), ...navigator.languages].map((tag) => tag?.slice(0, 2));
  return (wanted.find((tag) => tag && tag in LANGUAGES) ?? "en") as Language;
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

/** The word for a key, with `{name}`s filled in. A reason the page has no word for is left out. */
export function useWords(): (key: keyof Words, values?: Record<string, string | number>) => string {
  const now = useSyncExternalStore((listener) => (listeners.add(listener), () => listeners.delete(listener)), spoken);
  return (key, values = {}) =>
    ((LANGUAGES[now] ?? en)[key] ?? "").replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ""));
}
