import { LegatoError, backOff, hurry, rest } from "./requests";
import { SseParser, isNews, type ServerEvent } from "./sse";
import type { Connection, ReasonCode } from "./types";

const SILENCE_MS = 40_000; // the server says :keep-alive every 15 s; after two lost ones the connection is dead
const DOUBT_MS = 18_000; // a page that wakes up does not wait so long: one lost heartbeat is enough
const HIDDEN_MS = 10_000; // browsers allow six connections to a host over HTTP/1.1: hidden tabs give theirs back

interface Listening {
  onEvent: (event: ServerEvent) => void;
  onConnection: (connection: Connection, retryAt?: number) => void;
}

/** A stream that is followed until close(): EventSource gives up for good on one 503, this does not. */
export class Stream {
  static readonly all = new Set<Stream>();
  static asleep = false;
  static onReport: (code: ReasonCode, detail: string) => void = () => undefined;
  #path: string;
  #listening: Listening;
  #cursor: string | null = null;
  #tries = 0;
  #retryMs = 1000;
  #heardAt = 0;
  #hurry = false;
  #attempt = new AbortController();

  constructor(path: string, listening: Listening) {
    this.#path = path;
    this.#listening = listening;
  }
  /** Begins, or goes on from where it was closed. */
  open(): void {
    if (Stream.all.has(this)) return;
    Stream.all.add(this);
    void this.#run();
  }
  close(reason: ReasonCode = "client.stream.user-abort"): void {
    if (!Stream.all.delete(this)) return;
    Stream.onReport(reason, this.#path);
    this.cut();
  }
  cut(): void {
    this.#attempt.abort();
  }
  /** The page woke up or the network came back: a connection that may be dead is replaced at once. */
  check(suspicious: boolean): void {
    if (!suspicious && Date.now() - this.#heardAt < DOUBT_MS) return;
    this.#hurry = true;
    this.cut();
  }
  async #run(): Promise<void> {
    while (Stream.all.has(this)) {
      const attempt = (this.#attempt = new AbortController());
      // An end is never the end of a turn: whatever ended the stream, it goes on from the cursor.
      const error: unknown = await this.#read(attempt).then(() => null, (reason: unknown) => reason);
      if (!Stream.all.has(this) || attempt !== this.#attempt) return;
      if (error instanceof LegatoError && error.status === 404) {
        Stream.all.delete(this);
        return this.#listening.onConnection("gone");
      }
      if (error instanceof LegatoError && error.code === "bad_cursor") this.#cursor = null;
      if (error && !attempt.signal.aborted) Stream.onReport("client.stream.reader-error", String(error));
      const wait = this.#hurry ? 0 : this.#waitMs(error);
      this.#listening.onConnection(navigator.onLine ? "lost" : "offline", Date.now() + wait);
      if (wait) await rest(wait);
      while (Stream.asleep && Stream.all.has(this)) await rest(HIDDEN_MS);
    }
  }
  #waitMs(error: unknown): number {
    // The first wait is the server's own, which is jittered already.
    const wait = this.#tries ? backOff(this.#retryMs, this.#tries) : this.#retryMs;
    this.#tries++;
    return Math.max(wait, error instanceof LegatoError ? error.waitMs : 0);
  }
  async #read(attempt: AbortController): Promise<void> {
    this.#hurry = false;
    this.#heardAt = Date.now();
    const watch = setInterval(() => Date.now() - this.#heardAt > SILENCE_MS && attempt.abort(), 2000);
    try {
      const reader = await this.#connect(attempt.signal);
      const parser = new SseParser();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        this.#heardAt = Date.now();
        for (const event of parser.feed(value)) if (!attempt.signal.aborted) this.#take(event);
        this.#retryMs = parser.retryMs ?? this.#retryMs;
      }
    } finally {
      clearInterval(watch);
      attempt.abort();
    }
  }
  async #connect(signal: AbortSignal): Promise<ReadableStreamDefaultReader<Uint8Array>> {
    const after = this.#cursor ? `?after=${encodeURIComponent(this.#cursor)}` : "";
    const headers = { Accept: "text/event-stream" };
    const response = await LegatoError.unless(await fetch(this.#path + after, { headers, cache: "no-store", signal }));
    const type = response.headers.get("Content-Type") ?? "";
    if (!type.startsWith("text/event-stream") || !response.body) throw new TypeError("not a stream");
    this.#tries = 0;
    this.#listening.onConnection("live");
    return response.body.getReader();
  }
  #take(event: ServerEvent): void {
    // A snapshot of the state replaces all, also what has a higher number (a restored database).
    const replaces = event.event === "snapshot" && (event.data as { state?: unknown }).state;
    if (!Stream.all.has(this) || (!replaces && !isNews(event.id, this.#cursor))) return;
    this.#listening.onEvent(event);
    this.#cursor = event.id ?? this.#cursor;
  }
}

/** Connections of a page that slept, or whose network was away, are not trusted. */
export function watchTheWorld(): void {
  let dozing: ReturnType<typeof setTimeout> | undefined;
  const wake = (suspicious: boolean) => {
    Stream.asleep = false;
    for (const stream of Stream.all) stream.check(suspicious);
    hurry();
  };
  const doze = () => {
    Stream.asleep = true;
    for (const stream of Stream.all) stream.cut();
  };
  document.addEventListener("visibilitychange", () => {
    clearTimeout(dozing);
    if (document.hidden) dozing = setTimeout(doze, HIDDEN_MS);
    else wake(false);
  });
  addEventListener("pageshow", (event) => event.persisted && wake(true));
  addEventListener("online", () => wake(true));
}
