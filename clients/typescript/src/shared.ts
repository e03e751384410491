import { LegatoError } from "./errors";
import type { Requests } from "./requests";
import type { Frame } from "./sse";
import { Stream, type Listening, type Told } from "./stream";
import type { Connection, ReasonCode } from "./types";

export interface SharedListening extends Listening {
  /** A frame that stands for all that came before it, for a tab that comes later. */
  whole: () => Promise<Frame>;
}

interface Plain {
  code: string;
  status: number;
  detail: string;
  fields: Readonly<Record<string, unknown>>;
}
/** What tabs say to each other. `join` and `hurry` go to the tab that reads, the others come from it. */
type Word =
  | { kind: "frame"; frame: Frame }
  | { kind: "connection"; connection: Connection; retryAt?: number | undefined; error?: Plain | undefined }
  | { kind: "alive" }
  | { kind: "join" }
  | { kind: "hurry"; suspicious: boolean };

/** A stream, which all tabs of the browser have together where that can be. */
export function streamOf(requests: Requests, path: string, listening: SharedListening): Stream | SharedStream {
  return requests.shared ? new SharedStream(requests, path, listening) : new Stream(requests, path, listening);
}

/**
 * One stream for all tabs: whoever holds the lock of its name reads it, and reads it out to the others.
 *
 * A tab that is closed gives the lock free, and the next one goes on from its own position. One that is frozen, or whose
 * machine slept, says nothing any more: its lock is taken from it. A tab that comes later, or that may have missed something,
 * asks for the whole and adds what it has heard since; what comes twice by that, its position refuses.
 */
export class SharedStream {
  readonly #requests: Requests;
  readonly #path: string;
  readonly #listening: SharedListening;
  readonly #name: string;
  #channel: BroadcastChannel | null = null;
  #wish = new AbortController();
  #stream: Stream | null = null;
  #release: () => void = () => undefined;
  #caughtUp = false;
  #catching = false;
  #missed: Frame[] = [];
  #connection: Connection = "connecting";
  #told: Told = {};
  #heardAt = 0;
  #watch: ReturnType<typeof setInterval> | undefined;

  constructor(requests: Requests, path: string, listening: SharedListening) {
    this.#requests = requests;
    this.#path = path;
    this.#listening = listening;
    this.#name = `legato ${new URL(requests.url(path), globalThis.location?.href).href}`;
  }

  open(): void {
    if (this.#channel) return;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = (event: MessageEvent<Word>) => {
      this.#hear(event.data);
    };
    this.#heardAt = this.#requests.now();
    this.#watch = setInterval(this.#listen, this.#requests.silenceMs / 10);
    globalThis.document?.addEventListener("visibilitychange", this.#onVisible);
    globalThis.addEventListener?.("pageshow", this.#onShown);
    globalThis.addEventListener?.("online", this.#onOnline);
    this.#listening.onConnection("connecting");
    void this.#stand(false);
    this.#say({ kind: "join" });
  }

  close(reason: ReasonCode = "client.stream.user-abort"): void {
    if (!this.#channel) return;
    this.#leave();
    this.#requests.onReport(reason, this.#path);
    this.#listening.onConnection("closed");
  }

  hurry(suspicious: boolean): void {
    if (this.#stream) this.#stream.hurry(suspicious);
    else this.#say({ kind: "hurry", suspicious });
  }

  readonly #onOnline = (): void => {
    if (!this.#stream) this.hurry(true);
  };
  readonly #onVisible = (): void => {
    if (this.#stream || globalThis.document.visibilityState !== "visible") return;
    this.hurry(false);
    if (this.#requests.now() - this.#heardAt > this.#requests.silenceMs / 2) void this.#catchUp();
  };
  /** Back from the browser's cache of pages, where nothing is heard. */
  readonly #onShown = (event: PageTransitionEvent): void => {
    if (event.persisted && !this.#stream) void this.#catchUp();
  };
  /** Who reads says that it lives; who hears nothing takes its place. */
  readonly #listen = (): void => {
    if (this.#stream) {
      this.#say({ kind: "alive" });
    } else if (this.#requests.now() - this.#heardAt > this.#requests.silenceMs) {
      this.#heardAt = this.#requests.now();
      void this.#stand(true);
    }
  };

  #say(word: Word): void {
    this.#channel?.postMessage(word);
  }

  #leave(): void {
    clearInterval(this.#watch);
    globalThis.document?.removeEventListener("visibilitychange", this.#onVisible);
    globalThis.removeEventListener?.("pageshow", this.#onShown);
    globalThis.removeEventListener?.("online", this.#onOnline);
    this.#channel?.close();
    this.#channel = null;
    this.#stepDown();
    this.#wish.abort();
    this.#release();
  }

  /** Waits for the lock, or takes it; whoever has lost it waits again. */
  async #stand(steal: boolean): Promise<void> {
    this.#wish.abort();
    const wish = (this.#wish = new AbortController());
    try {
      await navigator.locks.request(this.#name, steal ? { steal } : { signal: wish.signal }, () => this.#lead(wish.signal));
    } catch (error) {
      if (!(error instanceof DOMException && error.name === "AbortError")) throw error;
    }
    if (wish.signal.aborted) return; // no longer wanted, or wished for anew
    this.#stepDown();
    if (this.#channel) void this.#stand(false);
  }

  #stepDown(): void {
    this.#stream?.stop();
    this.#stream = null;
    this.#caughtUp = false;
    this.#heardAt = this.#requests.now();
  }

  #lead(wish: AbortSignal): Promise<void> {
    if (!this.#channel || wish.aborted) return Promise.resolve();
    this.#missed = []; // it is told again from this tab's own position
    this.#stream = new Stream(this.#requests, this.#path, {
      query: this.#listening.query,
      onFrame: (frame) => {
        this.#say({ kind: "frame", frame });
        this.#listening.onFrame(frame);
      },
      onConnection: (connection, told) => {
        this.#stands(connection, told);
      },
    });
    this.#stream.open();
    return new Promise((resolve) => {
      this.#release = resolve;
    });
  }

  #stands(connection: Connection, told: Told = {}): void {
    this.#connection = connection;
    this.#told = told;
    this.#sayHow();
    if (connection === "gone" || connection === "closed") this.#leave(); // the server's own word, for all tabs
    this.#listening.onConnection(connection, told);
  }

  #sayHow(): void {
    const { retryAt, error } = this.#told;
    const plain = error && { code: error.code, status: error.status, detail: error.detail, fields: error.fields };
    this.#say({ kind: "connection", connection: this.#connection, retryAt, error: plain });
  }

  #hear(word: Word): void {
    if (word.kind === "join") {
      if (this.#stream) this.#sayHow();
    } else if (word.kind === "hurry") {
      this.#stream?.hurry(word.suspicious);
    } else if (!this.#stream) {
      this.#heardAt = this.#requests.now();
      if (word.kind === "frame") this.#take(word.frame);
      else if (word.kind === "connection") this.#follows(word.connection, word.retryAt, word.error);
      if (!this.#caughtUp && this.#connection === "live") void this.#catchUp();
    }
  }

  #take(frame: Frame): void {
    if (!this.#caughtUp) {
      this.#missed.push(frame);
      return;
    }
    try {
      this.#listening.onFrame(frame);
    } catch {
      this.#caughtUp = false; // the journal goes on elsewhere: something was not heard
    }
  }

  #follows(connection: Connection, retryAt?: number, plain?: Plain): void {
    const error = plain && new LegatoError(plain.code, plain.status, plain.detail, plain.fields);
    this.#connection = connection;
    this.#told = { ...(retryAt === undefined ? {} : { retryAt }), ...(error ? { error } : {}) };
    if (connection === "gone" || connection === "closed") {
      this.#leave();
      this.#requests.onReport("client.stream.reader-error", error?.code ?? connection);
    }
    if (this.#caughtUp || connection !== "live") this.#listening.onConnection(connection, this.#told);
  }

  async #catchUp(): Promise<void> {
    if (this.#catching) return;
    this.#catching = true;
    this.#caughtUp = false;
    let whole: Frame;
    try {
      whole = await this.#listening.whole();
    } catch (error) {
      if (!(error instanceof LegatoError)) throw error;
      this.#requests.onReport("client.stream.reader-error", error.code); // the next word brings the next try
      return;
    } finally {
      this.#catching = false;
    }
    if (this.#stream || !this.#channel) return; // it reads by itself by now
    this.#caughtUp = true;
    for (const frame of [whole, ...this.#missed.splice(0)]) this.#take(frame);
    this.#listening.onConnection(this.#connection, this.#told);
  }
}
