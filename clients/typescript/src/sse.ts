/** Server-sent events (WHATWG HTML, 9.2), from bytes in any pieces. */
export interface Frame {
  event: string;
  data: string;
  id: string | null;
}

export class SseParser {
  /** What the server asked for last, in milliseconds. */
  retryMs: number | null = null;
  /** Comments that came: heartbeats. */
  alive = 0;
  readonly #decoder = new TextDecoder();
  #rest: string[] = [];
  #afterCr = false;
  #event = "";
  #data: string[] = [];
  #id: string | null = null;

  /** The frames that `bytes` completes; what an end of stream cuts off is lost, as the standard wants it. */
  feed(bytes: Uint8Array): Frame[] {
    const frames: Frame[] = [];
    for (const line of this.#lines(this.#decoder.decode(bytes, { stream: true }))) {
      if (line !== "") this.#field(line);
      else this.#dispatch(frames);
    }
    return frames;
  }

  #lines(text: string): string[] {
    if (text === "") return [];
    let piece = text;
    if (this.#afterCr && piece.startsWith("\n")) piece = piece.slice(1);
    this.#afterCr = text.endsWith("\r");
    const lines = piece.split(/\r\n|\n|\r/);
    const last = lines.pop() ?? "";
    this.#rest.push(lines[0] ?? last);
    if (lines.length === 0) return [];
    lines[0] = this.#rest.join(""); // joined once, so that a long line in small pieces stays linear
    this.#rest = [last];
    return lines;
  }

  #field(line: string): void {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (name === "") this.alive += 1;
    else if (name === "data") this.#data.push(value);
    else if (name === "event") this.#event = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "retry" && /^[0-9]{1,9}$/.test(value)) this.retryMs = Number(value);
  }

  #dispatch(frames: Frame[]): void {
    if (this.#data.length > 0) frames.push({ event: this.#event || "message", data: this.#data.join("\n"), id: this.#id });
    this.#event = "";
    this.#data = [];
    this.#id = null;
  }
}
