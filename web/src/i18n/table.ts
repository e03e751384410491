/** A word in English, Swedish and Russian. `{name}` is filled in; forms for numbers stand apart by `|`, chosen by `{n}`: one|other, in Russian one|few|many. */
export type Entry = readonly [en: string, sv: string, ru: string];

export function table<Key extends string>(entries: Record<Key, Entry>): Record<Key, Entry> {
  return entries;
}
