const PLACEHOLDER = /\{[^{}\n]{1,60}\}/g;

export interface Range {
  start: number;
  end: number;
}

/** The next `{placeholder}` from a place on, or the first one again; null where there is none. */
export function nextPlaceholder(text: string, from: number): Range | null {
  const all = [...text.matchAll(PLACEHOLDER)].map(({ index, 0: found }) => ({ start: index, end: index + found.length }));
  return all.find(({ start }) => start >= from) ?? all[0] ?? null;
}
