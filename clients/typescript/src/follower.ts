import { LegatoError } from "./errors";
import { Fold } from "./fold";
import { Position } from "./position";
import type { Requests } from "./requests";
import type { Frame } from "./sse";
import { streamOf, type SharedStream } from "./shared";
import type { Stream } from "./stream";
import type { Connection, Event, MessagePage, ReasonCode, State } from "./types";

export interface FollowedState {
  /** Null until the first snapshot. Immutable; what did not change is the same object as before. */
  readonly state: State | null;
  readonly connection: Connection;
  /** When the next attempt is made, in milliseconds since 1970. */
  readonly retryAt?: number;
  readonly error?: LegatoError;
}

const KNOWN: ReadonlySet<string> = new Set([
  "token", "status_update", "usage", "done", "message", "turn", "session", "tool_call", "tool_result", "approval",
  "snapshot", "reset", "error", "warning",
]);

/** One session, live: an external store. However many events arrive in one piece, listeners hear of it once. */
export class Follower {
  readonly sessionId: string;
  readonly #requests: Requests;
  readonly #fold = new Fold();
  readonly #position = new Position();
  readonly #stream: Stream | SharedStream;
  readonly #listeners = new Set<() => void>();
  readonly #eventListeners = new Set<(event: Event) => void>();
  #state: FollowedState = { state: null, connection: "connecting" };
  #changed = false; // `#state` is behind the fold: a picture is taken when somebody looks
  #publishing = false;
  #older: string | null = null;

  constructor(requests: Requests, sessionId: string) {
    this.#requests = requests;
    this.sessionId = sessionId;
    const path = `v1/sessions/${encodeURIComponent(sessionId)}`;
    this.#stream = streamOf(requests, `${path}/events`, {
      query: () => ({ after: this.#position.cursor }),
      whole: () => this.#whole(),
      onFrame: (frame, onlyForward) => {
        this.#take(frame, onlyForward);
      },
      onConnection: (connection, told) => {
        this.#state = { state: this.#state.state, connection, ...told };
        this.#publish();
      },
    });
    this.#stream.open();
  }

  get state(): FollowedState {
    if (this.#changed) this.#state = { ...this.#state, state: this.#fold.state() };
    this.#changed = false;
    return this.#state;
  }
  /** Everything up to here is in `state`. */
  get cursor(): string | null {
    return this.#position.cursor;
  }
  readonly read = (): FollowedState => this.state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  /** Each event once and in order: for warnings and the like, which the state does not keep. */
  readonly onEvent = (listener: (event: Event) => void): (() => void) => {
    this.#eventListeners.add(listener);
    return () => void this.#eventListeners.delete(listener);
  };

  /** Fetches older messages into the state: the next page that has any. */
  async earlier(limit = 100): Promise<MessagePage> {
    const path = `v1/sessions/${encodeURIComponent(this.sessionId)}/messages`;
    for (;;) {
      const page = await this.#requests.call<MessagePage>("GET", path, { query: { limit, cursor: this.#older } });
      const known = page.data.every((message) => this.#fold.message(message.id));
      this.#older = page.next;
      this.#fold.older(page.data, page.has_more);
      this.#changed = true;
      this.#publish();
      if (!known || page.next === null) return page;
    }
  }

  /** After a send from elsewhere, or a wish of the reader's: looks again at once where the connection is lost. */
  hurry(): void {
    this.#stream.hurry(this.#state.connection !== "live");
  }

  close(reason: ReasonCode = "client.stream.user-abort"): void {
    this.#stream.close(reason);
  }

  /** Goes on, where it was closed, from what it knows. */
  open(): void {
    this.#stream.open();
  }

  #whole(): Frame | null {
    const { state } = this.state;
    return state && { event: "snapshot", id: this.#position.cursor, data: JSON.stringify({ state }) };
  }

  #take(frame: Frame, onlyForward = false): void {
    if (frame.id === null || !KNOWN.has(frame.event)) return;
    const event = { type: frame.event, data: JSON.parse(frame.data) as unknown } as Event;
    const whole = event.type === "snapshot" && event.data.state != null;
    if (!this.#position.advance(frame.id, whole, onlyForward)) return;
    if (whole) this.#older = null;
    this.#fold.apply(event);
    this.#changed = true;
    for (const listener of this.#eventListeners) listener(event);
    if (event.type === "done") this.#requests.onReport("client.stream.done", event.data.turn_id);
    this.#publish();
  }

  #publish(): void {
    if (this.#publishing) return;
    this.#publishing = true;
    queueMicrotask(() => {
      this.#publishing = false;
      for (const listener of [...this.#listeners]) listener();
    });
  }
}
