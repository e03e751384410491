import { Fold } from "./fold";
import { call } from "./requests";
import { Stream } from "./stream";
import type { FollowedState, Message, Page, ReasonCode } from "./types";

type MessagesPage = Page<Message> & { branches?: Record<string, string[]>; leaf_id?: string };

/** One session, live: an external store of immutable states. However many events arrive, listeners hear once a picture. */
export class Follower {
  readonly sessionId: string;
  #fold = new Fold();
  #stream: Stream;
  #listeners = new Set<() => void>();
  #state: FollowedState = { state: null, connection: "connecting" };
  #frame = 0;
  #older: string | null = null;
  /** Called with what arrived, before it is shown. */
  onMessages: (messages: Message[]) => void = () => undefined;

  constructor(sessionId: string) {
    this.sessionId = sessionId;
    this.#stream = new Stream(`v1/sessions/${sessionId}/events`, {
      onEvent: ({ event, data }) => this.#hear(event, data as Record<string, unknown>),
      onConnection: (connection, retryAt) => {
        this.#state = { ...this.#state, connection, ...(retryAt ? { retryAt } : {}) };
        this.#schedule();
      },
    });
  }
  get state(): FollowedState {
    return this.#state;
  }
  readonly read = (): FollowedState => this.#state;
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
  open(): void {
    this.#stream.open();
  }
  close(reason: ReasonCode): void {
    this.#stream.close(reason);
  }
  async earlier(): Promise<void> {
    const cursor = this.#older ? `&cursor=${encodeURIComponent(this.#older)}` : "";
    const page = await call<MessagesPage>("GET", `v1/sessions/${this.sessionId}/messages?limit=200${cursor}`);
    this.#fold.older(page.data, page.has_more);
    this.#older = page.next;
    this.#schedule();
  }
  #hear(event: string, data: Record<string, unknown>): void {
    this.#fold.apply(event, data);
    const whole = data["state"] as { messages?: Message[] } | undefined;
    if (whole) this.#older = null;
    const told = event === "message" && data["message"] ? [data["message"] as Message] : [];
    const arrived = whole?.messages ?? told;
    if (arrived.length) this.onMessages(arrived);
    this.#schedule();
  }
  #schedule(): void {
    // A hidden page draws no pictures, but what it knows goes on.
    this.#frame ||= document.hidden ? window.setTimeout(() => this.#publish(), 250) : requestAnimationFrame(() => this.#publish());
  }
  #publish(): void {
    this.#frame = 0;
    this.#state = { ...this.#state, state: this.#fold.snapshot() };
    for (const listener of this.#listeners) listener();
  }
}
