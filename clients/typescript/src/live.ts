import type { Requests } from "./requests";
import { streamOf, type SharedStream } from "./shared";
import type { Stream, Told } from "./stream";
import type { Connection, Hint, ReasonCode } from "./types";

/** What to fetch again to keep a list of sessions: `refetch` comes first, and after every gap. */
export class LiveList {
  readonly #stream: Stream | SharedStream;
  readonly #listeners = new Set<(hint: Hint) => void>();
  readonly #connectionListeners = new Set<(connection: Connection, told: Told) => void>();
  connection: Connection = "connecting";

  constructor(requests: Requests) {
    this.#stream = streamOf(requests, "v1/events", {
      query: () => ({}),
      whole: () => ({ event: "list", id: null, data: '{"what":"refetch"}' }),
      onFrame: (frame) => {
        if (frame.event !== "list") return;
        const hint = JSON.parse(frame.data) as Hint;
        for (const listener of [...this.#listeners]) listener(hint);
      },
      onConnection: (connection, told = {}) => {
        this.connection = connection;
        for (const listener of [...this.#connectionListeners]) listener(connection, told);
      },
    });
    this.#stream.open();
  }

  readonly subscribe = (listener: (hint: Hint) => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  /** `told`: when the next attempt is made, and why the last one failed. */
  readonly onConnection = (listener: (connection: Connection, told: Told) => void): (() => void) => {
    this.#connectionListeners.add(listener);
    return () => void this.#connectionListeners.delete(listener);
  };

  /** Goes on, where it was closed or refused. */
  open(): void {
    this.#stream.open();
  }

  /** Tries again to connect, at once. */
  hurry(): void {
    this.#stream.hurry(false);
  }

  close(reason: ReasonCode = "client.stream.user-abort"): void {
    this.#stream.close(reason);
  }
}
