import { chooseModel } from "../state/choices";
import { forget, keysOf, parsed, recall, remember, tabStorage } from "../state/remembered";
import { Store } from "../state/store";

/** A file of a draft: uploading as long as it has neither an id nor a problem. */
export interface Attached {
  key: string;
  name: string;
  size: number;
  id?: string;
  mediaType?: string;
  /** Whether it was uploaded for this draft, and not for a message that has it. */
  own: boolean;
  problem?: string;
}

export interface Draft {
  text: string;
  files: readonly Attached[];
  /** The message that it is to replace, what was being written before, and the message's own words, where they are known. */
  edits?: { messageId: string; aside: string; original?: string };
}

export type Change = (now: Draft) => Draft;

/** As it is kept, and since when. */
type Stored = Draft & { at: number };

const PREFIX = "legato.draft.";
const MOST_KEPT = 100;
const WRITE_AFTER_MS = 300;
const EMPTY: Draft = { text: "", files: [] };

/** What is being written in one conversation. Remembered by this browser a moment after the last key, and when the page goes. */
export class DraftStore extends Store<Draft> {
  readonly #key: string;
  #due: ReturnType<typeof setTimeout> | undefined;
  readonly #elsewhere = new Set<Change>();

  constructor(conversation: string) {
    const lent = recall(PREFIX + conversation, tabStorage);
    super(draftIn(lent ?? recall(PREFIX + conversation)));
    this.#key = PREFIX + conversation;
    if (lent !== undefined) this.#soon();
    addEventListener("storage", (event) => {
      if (event.key !== this.#key) return;
      const theirs = draftIn(parsed(event.newValue));
      const uploading = this.read().files.filter(({ id }) => !id); // of which another tab knows nothing
      super.put({ ...theirs, files: [...theirs.files, ...uploading] });
      if (this.#elsewhere.size > 0) this.#soon();
    });
  }
  override put(draft: Draft): void {
    super.put(draft);
    this.#soon();
  }
  change(changes: Partial<Draft>): void {
    this.put({ ...this.read(), ...changes });
  }
  /**
   * Words are written elsewhere on the page: if it goes before they are sent, the draft that this tab finds again has this
   * change. Other tabs have the draft without.
   */
  lend(change: Change): void {
    this.#elsewhere.add(change);
    this.#soon();
  }
  endLoan(change: Change): void {
    if (this.#elsewhere.delete(change)) this.#soon();
  }
  write(): void {
    if (this.#due === undefined) return;
    clearTimeout(this.#due);
    this.#due = undefined;
    const stored = storedOf(this.read());
    if (stored.text || stored.edits || stored.files.length > 0) remember(this.#key, stored);
    else forget(this.#key);
    if (this.#elsewhere.size > 0) remember(this.#key, storedOf([...this.#elsewhere].reduce((now, change) => change(now), this.read())), tabStorage);
    else forget(this.#key, tabStorage);
  }
  #soon(): void {
    this.#due ??= setTimeout(() => this.write(), WRITE_AFTER_MS);
  }
}

const storedOf = ({ files, ...words }: Draft): Stored => ({ ...words, files: files.filter(({ id }) => id !== undefined), at: Date.now() });
const isStored = (value: unknown): value is Stored => {
  const { text, files } = (value ?? {}) as Partial<Stored>;
  return typeof text === "string" && Array.isArray(files);
};
function draftIn(value: unknown): Draft {
  if (!isStored(value)) return EMPTY;
  const { text, files, edits } = value;
  return { text, files, ...(edits ? { edits } : {}) };
}

const known = new Map<string, DraftStore>();

export function draftOf(conversation: string): DraftStore {
  let draft = known.get(conversation);
  if (!draft) known.set(conversation, (draft = new DraftStore(conversation)));
  return draft;
}

/** The conversation is gone, and what was kept for it goes with it. */
export function forgetDraft(conversation: string): void {
  draftOf(conversation).put(EMPTY);
  draftOf(conversation).write();
  chooseModel(conversation, "");
}

/** Drafts of conversations that ended elsewhere would stay for ever: the oldest go. */
function dropTheOldest(): void {
  const ageOf = (value: unknown): number => (isStored(value) ? value.at : 0);
  const ages = keysOf(PREFIX).map((key) => ({ key, at: ageOf(recall(key)) }));
  ages.sort((one, other) => other.at - one.at);
  for (const { key } of ages.slice(MOST_KEPT)) forget(key);
}
dropTheOldest();

const writeAll = (): void => known.forEach((draft) => draft.write());
addEventListener("pagehide", writeAll);
document.addEventListener("visibilitychange", writeAll);
