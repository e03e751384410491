import type { Memory } from "legato-client";
import { client } from "../../state/client";
import { act } from "../../state/problem";
import { Store } from "../../state/store";

const A_PAGE = 100;

export interface Memories {
  /** Newest first; null until the server has told. */
  data: readonly Memory[] | null;
  next: string | null;
  loading: boolean;
  /** The last page that was asked for could not be had. */
  stuck: boolean;
  agentId: string;
}

/** What is remembered of the person, as far as it has been looked at. */
export class MemoryList extends Store<Memories> {
  #asked = 0;

  constructor() {
    super({ data: null, next: null, loading: false, stuck: false, agentId: "" });
  }
  /** From the beginning, of one agent or (empty) of all. */
  async load(agentId = this.read().agentId): Promise<void> {
    this.put({ ...this.read(), agentId });
    await this.#page(null);
  }
  async more(): Promise<void> {
    const { next, loading } = this.read();
    if (next !== null && !loading) await this.#page(next);
  }
  async edit(id: string, text: string): Promise<boolean> {
    const changed = await act(() => client.editMemory(id, text));
    if (changed) this.#change((data) => data.map((memory) => (memory.id === id ? changed : memory)));
    return changed !== undefined;
  }
  async forget(id: string): Promise<void> {
    const done = await act(() => client.forgetMemory(id).then(() => true));
    if (done) this.#change((data) => data.filter((memory) => memory.id !== id));
  }
  async forgetAll(): Promise<void> {
    const { agentId } = this.read();
    await act(() => client.forgetMemories(agentId || undefined));
    await this.load();
  }
  async #page(cursor: string | null): Promise<void> {
    const asked = ++this.#asked;
    const { agentId } = this.read();
    this.put({ ...this.read(), loading: true });
    const page = await act(() => client.memories({ limit: A_PAGE, cursor, ...(agentId ? { agent_id: agentId } : {}) }));
    if (asked !== this.#asked) return; // something else was asked for meanwhile
    const before = cursor === null ? [] : (this.read().data ?? []);
    const told = page ? { data: [...before, ...page.data], next: page.next } : {};
    this.put({ ...this.read(), ...told, loading: false, stuck: !page });
  }
  #change(change: (data: readonly Memory[]) => readonly Memory[]): void {
    this.put({ ...this.read(), data: change(this.read().data ?? []) });
  }
}

export const memories = new MemoryList();

/** Whether anything is remembered at all; null until the server has told. */
export const memoryEnabled = new Store<boolean | null>(null);

export async function askMemoryEnabled(): Promise<void> {
  const enabled = await act(client.memoryEnabled);
  if (enabled !== undefined) memoryEnabled.put(enabled);
}

export async function switchMemory(on: boolean): Promise<void> {
  memoryEnabled.put(on);
  const done = await act(() => client.switchMemory(on).then(() => true));
  if (!done) memoryEnabled.put(!on);
}
