import type { Requests } from "./requests";
import { openStream, type SharedStream } from "./shared";
import type { Stream } from "./stream";
import type { Connection, Hint, ReasonCode } from "./types";

/** What to fetch again to keep a list of sessions: `refetch` comes first, and after every gap. */
export class LiveList {
  readonly #stream: Stream | SharedStream;
  readonly #listeners = new Set<(hint: Hint) => void>();
  connection: Connection = "connecting";

  constructor(requests: Requests) {
    this.#stream = openStream(requests, "v1/events", {
      query: () => ({}),
      whole: () => Promise.resolve({ event: "list", id: null, data: '{"what":"refetch"}' }),
      onFrame: (frame) => {
        if (frame.event !== "list") return;
        const hint = JSON.parse(frame.data) as Hint;
        for (const listener of [...this.#listeners]) listener(hint);
      },
      onConnection: (connection) => {
        this.connection = connection;
      },
    });
  }

  readonly subscribe = (listener: (hint: Hint) => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  close(reason: ReasonCode = "client.stream.user-abort"): void {
    this.#stream.close(reason);
  }
}
