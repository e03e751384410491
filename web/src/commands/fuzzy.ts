const BEGINS_A_WORD = /[\s\-_/.,:]/;

/** How well a text answers to what was typed: its letters in their order, better at beginnings and in a row; 0: not at all. */
export function fuzzy(typed: string, text: string): number {
  const wanted = typed.trim().toLowerCase();
  const there = text.toLowerCase();
  if (wanted === "") return 1;
  const whole = there.indexOf(wanted);
  if (whole >= 0 && isBeginning(there, whole)) return 1000 - Math.min(whole, 500);
  if (whole >= 0) return wanted.length * 6;
  let score = 0;
  let at = -1;
  for (const letter of wanted) {
    if (letter === " ") continue;
    const next = there.indexOf(letter, at + 1);
    if (next < 0) return 0;
    score += isBeginning(there, next) ? 8 : next === at + 1 ? 5 : 1;
    at = next;
  }
  // Letters that are strewn over a long text are chance.
  return score >= wanted.length * 3 ? score : 0;
}

const isBeginning = (text: string, at: number): boolean => at === 0 || BEGINS_A_WORD.test(text[at - 1] ?? "");

/** The best first; equals stay in their order. */
export function ranked<Item>(typed: string, items: readonly Item[], textOf: (item: Item) => string): Item[] {
  if (typed.trim() === "") return [...items];
  return items
    .map((item) => ({ item, score: fuzzy(typed, textOf(item)) }))
    .filter(({ score }) => score > 0)
    .sort((one, other) => other.score - one.score)
    .map(({ item }) => item);
}
