import type { Requests } from "./requests";
import { streamOf, type SharedStream } from "./shared";
import type { Stream } from "./stream";
import type { Connection, Hint, ReasonCode } from "./types";

/** What to fetch again to keep a list of sessions: `refetch` comes first, and after every gap. */
export class LiveList {
  readonly #stream: Stream | SharedStream;
  readonly #listeners = new Set<(hint: Hint) => void>();
  readonly #connectionListeners = new Set<(connection: Connection) => void>();
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
      onConnection: (connection) => {
        this.connection = connection;
        for (const listener of [...this.#connectionListeners]) listener(connection);
      },
    });
    this.#stream.open();
  }

  readonly subscribe = (listener: (hint: Hint) => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  readonly onConnection = (listener: (connection: Connection) => void): (() => void) => {
    this.#connectionListeners.add(listener);
    return () => void this.#connectionListeners.delete(listener);
  };

  /** Goes on, where it was closed or refused. */
  open(): void {
    this.#stream.open();
  }

  close(reason: ReasonCode = "client.stream.user-abort"): void {
    this.#stream.close(reason);
  }
}
