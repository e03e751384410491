import { Kept } from "../state/kept";
import { Store } from "../state/store";

/** A prompt that a person keeps under a name; `{words}` in it are to be filled in. */
export interface Template {
  id: string;
  name: string;
  text: string;
}

function isTemplate(found: unknown): boolean {
  const { id, name, text } = (found ?? {}) as Partial<Record<keyof Template, unknown>>;
  return [id, name, text].every((value) => typeof value === "string");
}

export const templates = new Kept<readonly Template[]>("templates", [], (found) => Array.isArray(found) && found.every(isTemplate));

/** What the composer is to take up next. */
export const toInsert = new Store<string | null>(null);

/** As it is typed after a slash: "Daily plan" is /daily-plan in the list, and answers to /daily. */
export const slashOf = (name: string): string => name.trim().toLowerCase().replace(/\s+/g, "-");
