import { Backoff } from "./backoff";
import { LegatoError } from "./errors";
import { unreachable, type Query, type Requests } from "./requests";
import { SseParser, type Frame } from "./sse";
import type { Connection, ReasonCode } from "./types";

export interface Told {
  retryAt?: number;
  error?: LegatoError;
}

export interface Listening {
  query: () => Query;
  onFrame: (frame: Frame) => void;
  /** Something came that is no frame: a heartbeat. */
  onAlive?: () => void;
  onConnection: (connection: Connection, told?: Told) => void;
}

/** One logical stream over any number of connections, until `close`: whatever ends a connection, it goes on. */
export class Stream {
  readonly #requests: Requests;
  readonly #path: string;
  readonly #listening: Listening;
  readonly #backoff: Backoff;
  /** From `open` to its end. */
  #life: AbortController | null = null;
  #attempt = new AbortController();
  #waits = false;
  #wake: () => void = () => undefined;
  #hurried = false;
  #heardAt = 0;

  constructor(requests: Requests, path: string, listening: Listening) {
    this.#requests = requests;
    this.#path = path;
    this.#listening = listening;
    this.#backoff = new Backoff(requests.random);
  }

  open(): void {
    if (this.#life) return;
    this.#life = new AbortController();
    this.#hurried = false;
    globalThis.addEventListener?.("online", this.#onOnline);
    globalThis.document?.addEventListener("visibilitychange", this.#onVisible);
    this.#listening.onConnection("connecting");
    void this.#run(this.#life.signal);
  }

  close(reason: ReasonCode = "client.stream.user-abort"): void {
    if (!this.#life) return;
    this.stop();
    this.#requests.onReport(reason, this.#path);
    this.#listening.onConnection("closed");
  }

  /** What may be dead is replaced at once: where the network changed, or the machine slept through a heartbeat. */
  hurry(suspicious: boolean): void {
    if (!suspicious && !this.#waits && this.#requests.now() - this.#heardAt < this.#requests.silenceMs / 2) return;
    this.#backoff.succeeded();
    this.#hurried = true;
    this.#attempt.abort();
    this.#wake();
  }

  /** Leaves a connection that has been silent for too long. */
  check(): void {
    const { now, silenceMs } = this.#requests;
    if (now() - this.#heardAt > silenceMs) this.#attempt.abort(new Error(`nothing came for ${String(silenceMs)} ms`));
  }

  readonly #onOnline = (): void => {
    this.hurry(true);
  };
  readonly #onVisible = (): void => {
    if (globalThis.document.visibilityState === "visible") this.hurry(false);
  };

  /** Without a word to anybody. */
  stop(): void {
    this.#life?.abort();
    this.#life = null;
    globalThis.removeEventListener?.("online", this.#onOnline);
    globalThis.document?.removeEventListener("visibilitychange", this.#onVisible);
    this.#attempt.abort();
    this.#wake();
  }

  async #run(life: AbortSignal): Promise<void> {
    for (;;) {
      const error = await this.#connection();
      if (life.aborted) return; // and perhaps another one has begun
      if (!error.passing) {
        this.#refused(error);
        return;
      }
      if (!this.#hurried) await this.#wait(error);
      if (life.aborted) return;
      this.#hurried = false;
    }
  }

  #refused(error: LegatoError): void {
    this.stop();
    this.#report(error);
    this.#listening.onConnection(error.code === "session_not_found" ? "gone" : "closed", { error });
  }

  async #wait(error: LegatoError): Promise<void> {
    this.#report(error);
    const waitMs = this.#backoff.nextMs(error.retryAfterMs);
    const offline = globalThis.navigator?.onLine === false;
    this.#listening.onConnection(offline ? "offline" : "lost", { retryAt: this.#requests.now() + waitMs, error });
    this.#waits = true;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, waitMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#waits = false;
  }

  #report(error: LegatoError): void {
    this.#requests.onReport("client.stream.reader-error", `${this.#path}: ${error.code}: ${error.detail}`);
  }

  /** Why it ended: an end without an error is a cut, too, as a proxy's cut can look like an end. */
  async #connection(): Promise<LegatoError> {
    const attempt = (this.#attempt = new AbortController());
    this.#heardAt = this.#requests.now();
    const watch = setInterval(() => {
      this.check();
    }, this.#requests.silenceMs / 10);
    try {
      await this.#read(attempt.signal);
      return new LegatoError("unreachable", 0, "The server ended the stream.");
    } catch (error) {
      return error instanceof LegatoError ? error : unreachable(error);
    } finally {
      clearInterval(watch);
      attempt.abort();
    }
  }

  async #read(signal: AbortSignal): Promise<void> {
    const response = await this.#requests.open(this.#path, this.#listening.query(), {}, signal);
    if (signal.aborted) return;
    const parser = new SseParser();
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    this.#listening.onConnection("live");
    for (;;) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) return;
      this.#heardAt = this.#requests.now();
      const frames = parser.feed(value);
      if (parser.retryMs !== null) this.#backoff.beginAt(parser.retryMs);
      if (frames.length > 0 || parser.alive > 0) this.#backoff.succeeded(); // not a server that only greets and dies
      if (frames.length === 0) this.#listening.onAlive?.();
      for (const frame of frames) if (!signal.aborted) this.#listening.onFrame(frame);
    }
  }
}
