/** A cursor that moves forward, and elsewhere only with a snapshot of the state, which replaces everything. */
export class Position {
  cursor: string | null;

  constructor(cursor: string | null = null) {
    this.cursor = cursor;
  }

  /**
   * Whether the event is to be taken; then the cursor is its own. Seen before: false.
   * Throws RangeError where the journal goes on in another incarnation without a snapshot.
   */
  advance(id: string, replacesAll: boolean): boolean {
    if (this.cursor !== null && !this.#goesOn(id, this.cursor, replacesAll)) return false;
    this.cursor = id;
    return true;
  }

  #goesOn(id: string, cursor: string, replacesAll: boolean): boolean {
    if (replacesAll) return id !== cursor;
    const [here, seq] = id.split(".");
    const [there, seen] = cursor.split(".");
    if (here !== there) throw new RangeError(`the journal went from ${cursor} to ${id} without a snapshot`);
    return Number(seq) > Number(seen);
  }
}
