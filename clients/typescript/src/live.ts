import type { Requests } from "./requests";
import { Stream } from "./stream";
import type { Connection, Hint, ReasonCode } from "./types";

/** What to fetch again to keep a list of sessions: `refetch` comes first, and after every gap. */
export class LiveList {
  readonly #stream: Stream;
  readonly #listeners = new Set<(hint: Hint) => void>();
  connection: Connection = "connecting";

  constructor(requests: Requests) {
    this.#stream = new Stream(requests, "v1/events", {
      query: () => ({}),
      onFrame: (frame) => {
        if (frame.event !== "list") return;
        const hint = JSON.parse(frame.data) as Hint;
        for (const listener of [...this.#listeners]) listener(hint);
      },
      onConnection: (connection) => {
        this.connection = connection;
      },
    });
    this.#stream.open();
  }

  readonly subscribe = (listener: (hint: Hint) => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  close(reason: ReasonCode = "client.stream.user-abort"): void {
    this.#stream.close(reason);
  }
}
