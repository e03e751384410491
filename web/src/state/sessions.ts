import { type Approval, type Connection, type LiveList, type Session, LegatoError } from "legato-client";
import { forgetDraft } from "../composer/drafts";
import { agents, fetchCatalog, models } from "./catalog";
import { client } from "./client";
import { conversations } from "./conversations";
import { act } from "./problem";
import { goTo, shownSession } from "./route";
import { withoutSession, withSessions } from "./sessionOrder";
import { Store } from "./store";
import { noteDeleted, noteFinished, noteRunning } from "./unread";

const A_PAGE = 200;
const FETCH_AFTER_MS = 100;
const AGAIN_AFTER_MS = 5_000;
/** So many changed sessions are asked for one by one; of more, the list itself is. */
const A_FEW = 5;

/** What is asked for by pages of its own: the pinned and the archived may be older than all that is loaded. */
export type Shelf = "recent" | "pinned" | "archived";
const SHELVES: readonly Shelf[] = ["recent", "pinned", "archived"];

export interface Sessions {
  /** Newest activity first; null until the server has told. */
  listed: readonly Session[] | null;
  running: ReadonlySet<string>;
  hasMore: Readonly<Record<Shelf, boolean>>;
  connection: Connection;
  /** When the next attempt is made, in milliseconds since 1970. */
  retryAt: number | undefined;
  /** Why the last one failed. */
  error: LegatoError | undefined;
}

/** What is to be asked for next. */
interface Due {
  all: boolean;
  ids: Set<string>;
  more: Set<Shelf>;
}
const nothing = (): Due => ({ all: false, ids: new Set(), more: new Set() });

/** The owner's sessions, kept by the live list, and the approvals that wait in them. */
class SessionList extends Store<Sessions> {
  readonly approvals = new Store<readonly Approval[]>([]);
  /** How many pages of each shelf are loaded, and where the next one begins. */
  readonly #pages: Record<Shelf, number> = { recent: 1, pinned: 1, archived: 0 };
  readonly #next: Record<Shelf, string | null> = { recent: null, pinned: null, archived: null };
  /** Sessions that were deleted, lest an older answer brings them back. */
  readonly #gone = new Set<string>();
  #due = nothing();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #fetching = false;
  #live: LiveList | null = null;

  constructor() {
    super({ listed: null, running: new Set(), hasMore: { recent: false, pinned: false, archived: true }, connection: "connecting", retryAt: undefined, error: undefined });
  }
  start(): void {
    const live = (this.#live = client.live());
    document.addEventListener("visibilitychange", () => !document.hidden && live.open());
    live.onConnection((connection, { retryAt, error }) => {
      this.#change({ connection, retryAt, error });
      const isUntold = models.read() === null || agents.read().length === 0;
      if (connection === "live" && isUntold) void fetchCatalog(); // it may have been refused before
    });
    live.subscribe(({ what, session_id: id }) => {
      if (!id) return this.refetch();
      if (what === "deleted") return this.#drop(id);
      if (this.#gone.has(id)) return; // a late word about it
      if (what === "running") this.#setRunning(new Set(this.read().running).add(id));
      if (what === "finished") {
        noteFinished([id]);
        this.#setRunning(without(this.read().running, id));
      }
      this.#due.ids.add(id);
      this.#soon();
    });
  }
  /** Tries again to connect, at once; also where it was refused. */
  hurry(): void {
    this.#live?.open();
    this.#live?.hurry();
  }
  /** The next page of a shelf. */
  more(shelf: Shelf): void {
    if (!this.read().hasMore[shelf]) return;
    this.#due.more.add(shelf);
    this.#soon();
  }
  /** Everything that is loaded, anew. */
  refetch(): void {
    this.#due.all = true;
    this.#soon();
  }
  async change(id: string, changes: Parameters<typeof client.updateSession>[1]): Promise<void> {
    const changed = await act(() => client.updateSession(id, changes));
    if (changed) this.#take([changed]);
  }
  /** Deletes it, and leaves it where it is looked at. */
  async remove(id: string): Promise<void> {
    conversations.leave(id); // or the end of its stream would look like a cut
    const done = await act(() => client.deleteSession(id).then(() => true, (error: unknown) => isUnknown(error) || Promise.reject(error)));
    if (done !== true) {
      conversations.comeBack(id);
      return;
    }
    if (shownSession() === id) goTo(null);
    conversations.forget(id);
    forgetDraft(id);
    this.#drop(id);
  }
  /** This one does not wait any more. */
  settle(approvalId: string): void {
    this.approvals.put(this.approvals.read().filter(({ id }) => id !== approvalId));
  }

  #soon(): void {
    if (!this.#fetching) this.#timer ??= setTimeout(() => void this.#fetch(), FETCH_AFTER_MS);
  }
  async #fetch(): Promise<void> {
    const due = this.#due;
    this.#due = nothing();
    this.#timer = undefined;
    this.#fetching = true;
    let failed = false;
    try {
      if (due.all || due.ids.size > A_FEW) await this.#fetchAll();
      else await Promise.all([...due.ids].map((id) => this.#fetchOne(id)));
      for (const shelf of due.more) await this.#fetchMore(shelf);
    } catch (error) {
      if (!(error instanceof LegatoError)) throw error;
      failed = true;
    } finally {
      this.#fetching = false;
      const { all, ids, more } = this.#due;
      if (all || ids.size > 0 || more.size > 0) this.#soon();
      if (failed) {
        this.#due.all = true;
        this.#timer ??= setTimeout(() => void this.#fetch(), AGAIN_AFTER_MS);
      }
    }
  }
  async #fetchAll(): Promise<void> {
    const found: Session[] = [];
    const running = new Set<string>();
    const hasMore = { ...this.read().hasMore };
    for (const shelf of SHELVES) {
      let cursor: string | null = null;
      for (let page = 0; page < this.#pages[shelf] && (page === 0 || cursor !== null); page++) {
        const told = await this.#page(shelf, cursor);
        found.push(...told.data);
        for (const id of told.running) running.add(id);
        cursor = this.#next[shelf] = told.next;
        hasMore[shelf] = told.has_more;
      }
    }
    const approvals = await client.approvals();
    this.#change({ listed: withSessions([], found.filter(({ id }) => !this.#gone.has(id))), hasMore });
    this.#setRunning(running);
    this.approvals.put(approvals);
    const listed = new Set(found.map(({ id }) => id));
    for (const { session_id: id } of approvals) if (!listed.has(id)) this.#due.ids.add(id);
  }
  /** One session, with what runs and waits in it. */
  async #fetchOne(id: string): Promise<void> {
    try {
      const { state } = await client.view(id, 1);
      this.#take([state.session]);
      const runs = state.turns.some((turn) => turn.status === "in_progress");
      this.#setRunning(runs ? new Set(this.read().running).add(id) : without(this.read().running, id));
      this.approvals.put([...this.approvals.read().filter((each) => each.session_id !== id), ...state.approvals].sort(byAge));
    } catch (error) {
      if (!isUnknown(error)) throw error;
      this.#drop(id);
    }
  }
  async #fetchMore(shelf: Shelf): Promise<void> {
    const told = await this.#page(shelf, this.#next[shelf]);
    this.#next[shelf] = told.next;
    this.#pages[shelf] += 1;
    this.#take(told.data);
    this.#setRunning(new Set([...this.read().running, ...told.running]));
    this.#change({ hasMore: { ...this.read().hasMore, [shelf]: told.has_more } });
  }
  #page(shelf: Shelf, cursor: string | null): ReturnType<typeof client.sessions> {
    return client.sessions({ limit: A_PAGE, cursor, ...(shelf === "recent" ? {} : { status: shelf }) });
  }
  #take(told: readonly Session[]): void {
    const { listed } = this.read();
    if (listed) this.#change({ listed: withSessions(listed, told.filter(({ id }) => !this.#gone.has(id))) });
  }
  #drop(id: string): void {
    this.#gone.add(id);
    this.#due.ids.delete(id);
    const { listed } = this.read();
    this.#setRunning(without(this.read().running, id));
    noteDeleted(id);
    if (listed) this.#change({ listed: withoutSession(listed, id) });
    this.approvals.put(this.approvals.read().filter((each) => each.session_id !== id));
  }
  #setRunning(running: ReadonlySet<string>): void {
    noteRunning(running);
    this.#change({ running });
  }
  #change(changes: Partial<Sessions>): void {
    this.put({ ...this.read(), ...changes });
  }
}

const byAge = (a: Approval, b: Approval): number => (a.created_at < b.created_at ? -1 : 1);
const isUnknown = (error: unknown): error is LegatoError => error instanceof LegatoError && error.code === "session_not_found";

function without(ids: ReadonlySet<string>, id: string): ReadonlySet<string> {
  const left = new Set(ids);
  left.delete(id);
  return left;
}

export const sessions = new SessionList();
