import { chooseModel } from "../state/choices";
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
  /** The message that it is to replace, and what was being written before. */
  edits?: { messageId: string; aside: string };
}

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

  constructor(conversation: string) {
    super(found(localStorage.getItem(PREFIX + conversation)));
    this.#key = PREFIX + conversation;
    addEventListener("storage", (event) => {
      if (event.key !== this.#key) return;
      const theirs = found(event.newValue);
      const uploading = this.read().files.filter(({ id }) => !id); // of which another tab knows nothing
      super.put({ ...theirs, files: [...theirs.files, ...uploading] });
    });
  }
  override put(draft: Draft): void {
    super.put(draft);
    this.#due ??= setTimeout(() => this.write(), WRITE_AFTER_MS);
  }
  change(changes: Partial<Draft>): void {
    this.put({ ...this.read(), ...changes });
  }
  write(): void {
    if (this.#due === undefined) return;
    clearTimeout(this.#due);
    this.#due = undefined;
    const { files, ...words } = this.read();
    const stored: Stored = { ...words, files: files.filter(({ id }) => id !== undefined), at: Date.now() };
    try {
      if (stored.text || stored.edits || stored.files.length > 0) localStorage.setItem(this.#key, JSON.stringify(stored));
      else localStorage.removeItem(this.#key);
    } catch {
      // The room is used up: then it holds as long as the tab.
    }
  }
}

function parsed(text: string | null): Stored | null {
  try {
    const value = JSON.parse(text ?? "null") as Partial<Stored> | null;
    return typeof value?.text === "string" && Array.isArray(value.files) ? (value as Stored) : null;
  } catch {
    return null;
  }
}
function found(text: string | null): Draft {
  const stored = parsed(text);
  if (!stored) return EMPTY;
  const { text: words, files, edits } = stored;
  return { text: words, files, ...(edits ? { edits } : {}) };
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
  const keys = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
  const ages = keys.map((key) => ({ key, at: parsed(localStorage.getItem(key))?.at ?? 0 }));
  ages.sort((one, other) => other.at - one.at);
  for (const { key } of ages.slice(MOST_KEPT)) localStorage.removeItem(key);
}
dropTheOldest();

const writeAll = (): void => known.forEach((draft) => draft.write());
addEventListener("pagehide", writeAll);
document.addEventListener("visibilitychange", writeAll);
