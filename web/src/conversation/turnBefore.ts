/** Moved one up or down, the turn at `at` runs before this one; null: as the last; undefined: it can't be moved there. */
export function turnBefore(order: readonly string[], at: number, by: -1 | 1): string | null | undefined {
  if (by === -1) return order[at - 1];
  return at + 1 < order.length ? (order[at + 2] ?? null) : undefined;
}
