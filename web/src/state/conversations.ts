import { isTerminal, type Connection, type Event, type Follower, type Message, type Mode, type State, type Turn, LegatoError, newId } from "legato-client";
import { client } from "./client";
import { Outbox, type SentFile } from "./outbox";
import { act } from "./problem";
import { goWhenMade } from "./route";
import { Store } from "./store";

/** Streams that stay open besides those of the list and of what is looked at: browsers allow six connections to a host. */
const KEPT_OPEN = 1;
/** Conversations whose words are kept, though nobody looks at them now. */
const KEPT_WHOLE = 20;
/** After so long unseen a tab leaves its streams to those that are seen. */
const UNSEEN_MS = 60_000;
const BRANCHES_AFTER_MS = 200;
const A_PAGE = 100;

/** A warning of the server's about a turn. */
export interface Notice {
  turnId: string;
  code: string;
  text: string;
}

/** What a view of a conversation draws. Immutable; what did not change is the same object as before. */
export interface Shown {
  state: State | null;
  connection: Connection;
  /** When the next attempt is made, in milliseconds since 1970. */
  retryAt?: number;
  error?: LegatoError;
  /** The active branch, without what waits. */
  messages: readonly Message[];
  waiting: readonly Message[];
  notices: readonly Notice[];
  /** Of each message that has siblings, their ids in the order of their creation. */
  branches: Readonly<Record<string, readonly string[]>>;
  loadingEarlier: boolean;
  /** Older messages came to the head of the list since the picture before. */
  prepended: boolean;
}

/** Where a reader is: a message and how far into it, in pixels. */
export interface Place {
  messageId: string;
  into: number;
}

const NOTHING: Shown = {
  state: null, connection: "connecting", messages: [], waiting: [], notices: [], branches: {}, loadingEarlier: false, prepended: false,
};

/** One conversation above the views. However many tokens arrive, its pictures are taken once a frame. */
export class Conversation extends Store<Shown> {
  readonly id: string;
  #place: Place | null = null;
  readonly #onMessages: (messages: readonly Message[]) => void;
  #follower: Follower | null = null;
  #notices: readonly Notice[] = [];
  #branches: Readonly<Record<string, readonly string[]>> = {};
  #earlier: Promise<void> | null = null;
  #pictureDue = false;
  #branchesDue: ReturnType<typeof setTimeout> | undefined;

  constructor(id: string, onMessages: (messages: readonly Message[]) => void) {
    super(NOTHING);
    this.id = id;
    this.#onMessages = onMessages;
  }
  open(): void {
    if (this.#follower) {
      this.#follower.open();
      return;
    }
    this.#follower = client.follow(this.id);
    this.#follower.onEvent((event) => this.#hear(event));
    this.#follower.subscribe(() => this.#schedule());
  }
  /** Where its reader is, kept while another view is shown; null: at the end. */
  get place(): Place | null {
    return this.#place;
  }
  remember(place: Place | null): void {
    this.#place = place;
  }
  close(reason: "client.stream.view-remount" | "client.stream.user-abort"): void {
    clearTimeout(this.#branchesDue);
    this.#follower?.close(reason);
  }
  /** Lets go of its words, which come anew when it is looked at; its reader's place stays. */
  release(): void {
    if (!this.#follower) return;
    this.close("client.stream.view-remount");
    this.#follower = null;
    this.#notices = [];
    this.#branches = {};
    this.put(NOTHING);
  }
  /** Older messages, above those that are there. */
  earlier(): Promise<void> {
    this.#earlier ??= this.#fetchEarlier().finally(() => {
      this.#earlier = null;
      this.#schedule();
    });
    this.#schedule();
    return this.#earlier;
  }
  async #fetchEarlier(): Promise<void> {
    const follower = this.#follower;
    if (!follower) return;
    const oldest = this.#oldest();
    // The first page that is asked for may be the one that the stream began with.
    do {
      const { branches } = await follower.earlier(A_PAGE);
      if (follower !== this.#follower) return;
      this.#branches = { ...this.#branches, ...branches };
    } while (this.#oldest() === oldest && this.#followed()?.has_more);
  }
  /** Loads older messages until this one is there. It may also stand on another branch, or nowhere. */
  async find(messageId: string): Promise<"here" | "elsewhere" | "nowhere"> {
    await this.#until(({ state }) => state !== null);
    const known = (): boolean => this.#followed()?.messages.some((message) => message.id === messageId) ?? false;
    while (!known() && this.#followed()?.has_more) await this.earlier();
    if (known()) {
      await this.#until(({ messages, waiting }) => [...messages, ...waiting].some((message) => message.id === messageId));
      return "here";
    }
    try {
      await client.messagesPage(this.id, { leaf: messageId, limit: 1 });
      return "elsewhere";
    } catch (error) {
      if (error instanceof LegatoError && error.status === 404) return "nowhere";
      throw error;
    }
  }
  /** Makes the branch through this message the active one, and waits until it is shown. */
  async switchTo(messageId: string): Promise<void> {
    const { state } = await client.switchBranch(this.id, messageId);
    await this.#until((shown) => shown.state?.leaf_id === state.leaf_id);
  }
  /** Waits until this turn is shown. */
  shows(turnId: string): Promise<void> {
    return this.#until(({ state }) => state?.turns.some((turn) => turn.id === turnId) ?? false);
  }
  /** Tries again to connect, at once; also where it was refused. */
  hurry(): void {
    this.#follower?.open();
    this.#follower?.hurry();
  }

  #followed(): State | null {
    return this.#follower?.state.state ?? null;
  }
  #oldest(): string | undefined {
    return this.#followed()?.messages[0]?.id;
  }
  #until(holds: (shown: Shown) => boolean): Promise<void> {
    return new Promise((resolve) => {
      if (holds(this.read())) return resolve();
      const forget = this.subscribe(() => {
        if (!holds(this.read())) return;
        forget();
        resolve();
      });
    });
  }

  #hear(event: Event): void {
    if (event.type === "warning") {
      const { turn_id: turnId, code, message: text } = event.data;
      this.#notices = [...this.#notices.filter((each) => each.turnId !== turnId || each.code !== code), { turnId, code, text }];
    } else if (event.type === "snapshot" && event.data.state) {
      this.#notices = [];
      this.#onMessages(event.data.state.messages);
      this.#branchesMayDiffer();
    } else if (event.type === "message") {
      if (event.data.message) this.#onMessages([event.data.message]);
      this.#branchesMayDiffer();
    }
  }
  #branchesMayDiffer(): void {
    clearTimeout(this.#branchesDue);
    this.#branchesDue = setTimeout(() => void this.#fetchBranches(), BRANCHES_AFTER_MS);
  }
  async #fetchBranches(): Promise<void> {
    // What can't be told now is told with the next message; the words themselves do not depend on it.
    const page = await client.messagesPage(this.id, { limit: A_PAGE }).catch(() => null);
    if (!page) return;
    const told = new Set(page.data.map((message) => message.id));
    const others = Object.entries(this.#branches).filter(([id]) => !told.has(id));
    this.#branches = { ...Object.fromEntries(others), ...page.branches };
    this.#schedule();
  }
  #schedule(): void {
    if (this.#pictureDue) return;
    this.#pictureDue = true;
    const take = (): void => {
      this.#pictureDue = false;
      this.put(this.#picture());
    };
    // A hidden page draws nothing, but what it knows goes on.
    if (document.hidden) setTimeout(take, 250);
    else requestAnimationFrame(take);
  }
  #picture(): Shown {
    const followed = this.#follower?.state ?? NOTHING;
    const all = followed.state?.messages ?? [];
    const { retryAt, error } = followed;
    const messages = all.filter((message) => message.status !== "queued");
    const first = this.read().messages[0]?.id;
    return {
      state: followed.state,
      connection: followed.connection,
      ...(retryAt === undefined ? {} : { retryAt }),
      ...(error ? { error } : {}),
      messages,
      waiting: all.filter((message) => message.status === "queued"),
      notices: this.#notices,
      branches: this.#branches,
      loadingEarlier: this.#earlier !== null,
      prepended: messages[0]?.id !== first && messages.some((message) => message.id === first),
    };
  }
}

/** All conversations of this tab: no navigation can lose one. */
class Conversations {
  /** In the order in which they were looked at. */
  readonly #known = new Map<string, Conversation>();
  #lookedAt: string | null = null;
  #unseen: ReturnType<typeof setTimeout> | undefined;
  readonly outbox = new Outbox((sessionId) => this.#known.get(sessionId)?.open());

  constructor() {
    document.addEventListener("visibilitychange", () => {
      clearTimeout(this.#unseen);
      if (!document.hidden) this.look(this.#lookedAt);
      else this.#unseen = setTimeout(() => this.#leaveAllBut(0), UNSEEN_MS);
    });
  }
  get(id: string): Conversation {
    let conversation = this.#known.get(id);
    if (!conversation) {
      conversation = new Conversation(id, (messages) => this.outbox.arrived(messages));
      this.#known.set(id, conversation);
    }
    return conversation;
  }
  /** Connects what is looked at, and lets go of what has not been for longest. */
  look(id: string | null): void {
    this.#lookedAt = id;
    if (id !== null) {
      const conversation = this.get(id);
      this.#known.delete(id);
      this.#known.set(id, conversation);
      if (!this.outbox.creating(id)) conversation.open();
    }
    this.#leaveAllBut(KEPT_OPEN + (id === null ? 0 : 1));
  }
  leave(id: string): void {
    this.#known.get(id)?.close("client.stream.user-abort");
  }
  /** Connects it again, where it is still looked at. */
  comeBack(id: string): void {
    if (this.#lookedAt === id) this.look(id);
  }
  forget(id: string): void {
    this.leave(id);
    this.#known.delete(id);
  }
  #leaveAllBut(count: number): void {
    const all = [...this.#known.values()];
    for (const conversation of all.slice(0, Math.max(0, all.length - count))) conversation.close("client.stream.view-remount");
    for (const conversation of all.slice(0, Math.max(0, all.length - KEPT_WHOLE))) conversation.release();
  }
}

export const conversations = new Conversations();

export interface Sending {
  mode?: Mode;
  edits?: string;
  files?: readonly SentFile[];
  agentId?: string | undefined;
  modelId?: string | undefined;
}

/** Sends for certain, and says to which session: a new one where there is none. */
export function send(sessionId: string | null, text: string, { mode, edits, files, agentId, modelId }: Sending = {}): string {
  const id = sessionId ?? newId("ses");
  conversations.outbox.add({
    sessionId: id,
    text,
    mode: mode ?? "queue",
    edits,
    modelId,
    ...(files ? { files } : {}),
    create: sessionId === null ? { agent_id: agentId, model_id: modelId } : null,
  });
  return id;
}

/** The turns that are not over, the running one first. */
export const openTurns = (state: State | null): State["turns"] => state?.turns.filter((turn) => !isTerminal(turn.status)) ?? [];

/** An answer's own turn; a question's newest one. */
export function turnOf({ id, role, turn_id: turnId }: Message, state: State | null): Turn | undefined {
  return state?.turns.findLast((turn) => (role === "user" ? turn.message_id === id : turn.id === turnId));
}

/** The turn that a person has asked to stop. */
export const stopping = new Store<string | null>(null);

export async function stop(sessionId: string): Promise<void> {
  const turn = openTurns(conversations.get(sessionId).read().state)[0];
  if (!turn) return;
  stopping.put(turn.id);
  if (!(await act(() => client.cancel(sessionId, turn.id)))) stopping.put(null);
}

/** Makes another chat of this one, up to a message or whole, and goes there. */
export function fork(sessionId: string, messageId?: string): Promise<void> {
  return goWhenMade(act(() => client.fork(sessionId, messageId ? { messageId } : {})));
}

/** Attempts that have not succeeded yet, by turn and what is asked of it: a repeat is the same message. */
const attempts = new Map<string, string>();
const pending = new Set<string>();

/** Continues or retries a turn, once, however often it is asked for until the new turn is shown. `modelId`: of who answers now. */
export async function goOn(sessionId: string, turnId: string, how: "continue_" | "retry", modelId?: string): Promise<void> {
  const what = `${how} ${turnId} ${modelId ?? ""}`;
  if (pending.has(what)) return;
  const messageId = attempts.get(what) ?? newId("msg");
  attempts.set(what, messageId);
  pending.add(what);
  try {
    const sent = await act(() => (how === "retry" ? client.retry(sessionId, turnId, messageId, modelId) : client.continue_(sessionId, turnId, messageId)));
    if (!sent) return;
    attempts.delete(what);
    await conversations.get(sessionId).shows(sent.turn.id);
  } finally {
    pending.delete(what);
  }
}
