/** A cursor that moves forward, and elsewhere only with a snapshot of the state, which replaces everything. */
export class Position {
  cursor: string | null;

  constructor(cursor: string | null = null) {
    this.cursor = cursor;
  }

  /**
   * Whether the event is to be taken; then the cursor is its own. Seen before: false.
   * A server that lost its newest events says so by a snapshot further back; `onlyForward`: nobody has said so.
   * Throws RangeError where the journal goes on in another incarnation without a snapshot.
   */
  advance(id: string, replacesAll: boolean, onlyForward = false): boolean {
    if (this.cursor !== null && !this.#goesOn(id, this.cursor, replacesAll, onlyForward)) return false;
    this.cursor = id;
    return true;
  }

  #goesOn(id: string, cursor: string, replacesAll: boolean, onlyForward: boolean): boolean {
    if (replacesAll && !onlyForward) return id !== cursor;
    const [here, seq] = id.split(".");
    const [there, seen] = cursor.split(".");
    if (here !== there && replacesAll) return true;
    if (here !== there) throw new RangeError(`the journal went from ${cursor} to ${id} without a snapshot`);
    return Number(seq) > Number(seen);
  }
}
