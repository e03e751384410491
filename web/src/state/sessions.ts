import { type Approval, type Connection, type Session, LegatoError } from "legato-client";
import { forgetDraft } from "../composer/drafts";
import { act } from "./problem";
import { client } from "./client";
import { conversations } from "./conversations";
import { Store } from "./store";

const A_PAGE = 200;
const REFETCH_AFTER_MS = 100;

export interface Sessions {
  /** Newest activity first; null until the server has told. */
  listed: readonly Session[] | null;
  running: ReadonlySet<string>;
  hasMore: boolean;
  connection: Connection;
}

/** The owner's sessions, kept by the live list, and the approvals that wait in them. */
class SessionList extends Store<Sessions> {
  readonly approvals = new Store<readonly Approval[]>([]);
  #pages = 1;
  #due: ReturnType<typeof setTimeout> | undefined;
  #fetching = false;

  constructor() {
    super({ listed: null, running: new Set(), hasMore: false, connection: "connecting" });
  }
  start(): void {
    const live = client.live();
    live.onConnection((connection) => this.#change({ connection }));
    live.subscribe(({ what, session_id: id }) => {
      const running = new Set(this.read().running);
      if (what === "running" && id) running.add(id);
      if (what === "finished" && id) running.delete(id);
      if (what === "deleted" && id) forgetDraft(id);
      this.#change({ running });
      this.refetch();
    });
  }
  /** The next page of older sessions. */
  more(): void {
    if (!this.read().hasMore || this.#due || this.#fetching) return;
    this.#pages += 1;
    this.refetch();
  }
  refetch(): void {
    this.#due ??= setTimeout(() => {
      this.#due = undefined;
      void this.#fetch();
    }, REFETCH_AFTER_MS);
  }
  async #fetch(): Promise<void> {
    if (this.#fetching) return this.refetch();
    this.#fetching = true;
    try {
      const found: Session[] = [];
      const running = new Set<string>();
      let cursor: string | null = null;
      let hasMore = true;
      for (let page = 0; page < this.#pages && hasMore; page++) {
        const told = await client.sessions({ limit: A_PAGE, cursor });
        found.push(...told.data);
        for (const id of told.running) running.add(id);
        cursor = told.next;
        hasMore = told.has_more;
      }
      this.#change({ listed: found, running, hasMore });
      this.approvals.put(await client.approvals());
    } catch (error) {
      // The live list says when it is worth asking again: `refetch` comes first after every cut.
      if (!(error instanceof LegatoError)) throw error;
    } finally {
      this.#fetching = false;
    }
  }
  async change(id: string, changes: Parameters<typeof client.updateSession>[1]): Promise<void> {
    await act(() => client.updateSession(id, changes));
    this.refetch();
  }
  async remove(id: string): Promise<void> {
    if ((await act(() => client.deleteSession(id).then(() => true))) !== true) return;
    conversations.forget(id);
    this.#change({ listed: (this.read().listed ?? []).filter((session) => session.id !== id) });
  }
  #change(changes: Partial<Sessions>): void {
    this.put({ ...this.read(), ...changes });
  }
}

export const sessions = new SessionList();
