export interface ServerEvent {
  event: string;
  data: unknown;
  id: string | null;
}

/** Bytes in any pieces → events. */
export class SseParser {
  retryMs: number | null = null;
  #decoder = new TextDecoder();
  #buffer = "";
  #event = "message";
  #data: string[] = [];
  #id: string | null = null;

  feed(bytes: Uint8Array): ServerEvent[] {
    // A CR at the very end may be half of a CRLF: it stays until more is known.
    const lines = (this.#buffer + this.#decoder.decode(bytes, { stream: true })).split(/\r\n|\n|\r(?!$)/);
    this.#buffer = lines.pop() ?? "";
    const events: ServerEvent[] = [];
    for (const line of lines) {
      if (line) this.#field(line);
      else this.#dispatch(events);
    }
    return events;
  }

  #field(line: string): void {
    const at = line.indexOf(":");
    const name = at < 0 ? line : line.slice(0, at);
    const value = at < 0 ? "" : line.slice(at + 1).replace(/^ /, "");
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#event = value;
    else if (name === "id") this.#id = value;
    else if (name === "retry" && /^\d+$/.test(value)) this.retryMs = Number(value);
  }

  #dispatch(events: ServerEvent[]): void {
    if (this.#data.length) {
      events.push({ event: this.#event, data: JSON.parse(this.#data.join("\n")) as unknown, id: this.#id });
    }
    [this.#event, this.#data, this.#id] = ["message", [], null];
  }
}

/** Whether an event has not been seen yet. Cursors are `incarnation.seq`. */
export function isNews(id: string | null, cursor: string | null): boolean {
  if (!id || !cursor) return true;
  const [here, seq] = id.split(".");
  const [there, seen] = cursor.split(".");
  return here !== there || Number(seq) > Number(seen);
}
