import { LegatoError, type Hit, type SavedSearch } from "legato-client";
import { client } from "../state/client";
import { act, why } from "../state/problem";
import { Store } from "../state/store";

const ASK_AFTER_MS = 180;
const A_PAGE = 30;

export type Status = "active" | "closed" | "archived" | "pinned";
export type Role = "user" | "assistant";

/** Empty: any. */
export interface Question {
  text: string;
  agentId: string;
  role: Role | "";
  status: Status | "";
}

export interface Search extends Question {
  /** What was found, the best first; null until the first answer. */
  hits: readonly Hit[] | null;
  hasMore: boolean;
  busy: boolean;
  /** Why there is no answer. */
  problem: string;
}

const NOTHING: Search = { text: "", agentId: "", role: "", status: "", hits: null, hasMore: false, busy: false, problem: "" };

/** What is looked for, above the views: who comes back from a hit finds the others still there. */
class SearchStore extends Store<Search> {
  /** Only the newest question is answered. */
  #question = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #next: string | null = null;

  ask(changes: Partial<Question>): void {
    const asked = { ...this.read(), ...changes };
    clearTimeout(this.#timer);
    this.#question += 1;
    if (asked.text.trim() === "") {
      this.put({ ...NOTHING, text: asked.text });
      return;
    }
    this.#next = null;
    this.put({ ...asked, busy: true, problem: "" });
    this.#timer = setTimeout(() => void this.#fetch(), ASK_AFTER_MS);
  }
  more(): void {
    if (this.read().busy || this.#next === null) return;
    this.put({ ...this.read(), busy: true });
    void this.#fetch();
  }
  async #fetch(): Promise<void> {
    const question = this.#question;
    const cursor = this.#next;
    const { text, agentId, role, status } = this.read();
    const filters = { ...(agentId ? { agentId } : {}), ...(role ? { role } : {}), ...(status ? { status } : {}) };
    try {
      const { data, has_more: hasMore, next } = await client.search(text, { ...filters, limit: A_PAGE, cursor });
      if (question !== this.#question) return;
      this.#next = next;
      this.put({ ...this.read(), busy: false, hasMore, hits: cursor === null ? data : [...(this.read().hits ?? []), ...data] });
    } catch (error) {
      if (!(error instanceof LegatoError)) throw error;
      if (question === this.#question) this.put({ ...this.read(), busy: false, problem: why(error) });
    }
  }
}

export const search = new SearchStore(NOTHING);

/** By name; null until they have been asked for. */
export const savedSearches = new Store<readonly SavedSearch[] | null>(null);

export async function fetchSavedSearches(): Promise<void> {
  // Where they can't be told, the field is as useful without them.
  const found = await client.savedSearches().catch(() => null);
  if (found) savedSearches.put(found);
}
export async function saveSearch(text: string): Promise<void> {
  await act(() => client.saveSearch(text, text));
  await fetchSavedSearches();
}
export async function forgetSearch(id: string): Promise<void> {
  await act(() => client.deleteSearch(id));
  await fetchSavedSearches();
}

/** Puts the cursor into the search field, where there is one. */
export function focusSearch(): void {
  document.getElementById("search")?.focus();
}
