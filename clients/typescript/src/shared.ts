import { LegatoError } from "./errors";
import type { Requests } from "./requests";
import type { Frame } from "./sse";
import { Stream, type Listening, type Told } from "./stream";
import type { Connection, ReasonCode } from "./types";

export interface SharedListening extends Listening {
  /** `onlyForward`: it may be older than what is known here, and then it is nothing new. */
  onFrame: (frame: Frame, onlyForward?: boolean) => void;
  /** A frame that stands for all that came so far, for another tab; null where nothing did. */
  whole: () => Frame | null;
}

interface Plain {
  code: string;
  status: number;
  detail: string;
  fields: Readonly<Record<string, unknown>>;
}
interface Stands {
  connection: Connection;
  retryAt?: number | undefined;
  error?: Plain | undefined;
}
/** A word of the tab that reads. `count`: the frames that it has told so far, this one among them. */
interface Reading {
  kind: "told";
  by: string;
  count: number;
  frame?: Frame;
  whole?: Frame | null;
  stands?: Stands;
}
/** What tabs say to each other. `ask` and `hurry` are for the tab that reads. */
type Word = Reading | { kind: "ask" } | { kind: "hurry"; suspicious: boolean };

/** A stream, which all tabs of the browser have together where that can be. */
export function streamOf(requests: Requests, path: string, listening: SharedListening): Stream | SharedStream {
  return requests.shared ? new SharedStream(requests, path, listening) : new Stream(requests, path, listening);
}

/**
 * One stream for all tabs: whoever holds the lock of its name reads it, and reads it out to the others.
 *
 * Frames are counted, so that a tab knows what it has missed: then it asks, and is told the whole. A tab that is closed gives
 * the lock free, and the next one goes on from its own position. One that does not answer is frozen or hangs: the lock is
 * taken from it. Only who asks needs a clock, as browsers slow those of hidden tabs down, but not what tabs tell each other.
 */
export class SharedStream {
  readonly #requests: Requests;
  readonly #path: string;
  readonly #listening: SharedListening;
  readonly #name: string;
  #channel: BroadcastChannel | null = null;
  #wish = new AbortController();
  #release: () => void = () => undefined;
  /** Only in the tab that reads. */
  #stream: Stream | null = null;
  /** Who reads; "" where that is to be found out. */
  #by = "";
  #count = 0;
  #stands: Stands = { connection: "connecting" };
  #heardAt = 0;
  #watch: ReturnType<typeof setInterval> | undefined;
  #unanswered: ReturnType<typeof setTimeout> | undefined;

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
    this.#by = "";
    this.#heardAt = this.#requests.now();
    this.#watch = setInterval(this.#look, this.#requests.silenceMs / 10);
    globalThis.document?.addEventListener("visibilitychange", this.#onVisible);
    globalThis.addEventListener?.("pageshow", this.#onShown);
    this.#listening.onConnection("connecting");
    void this.#stand(false);
    this.#ask();
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

  readonly #onVisible = (): void => {
    if (this.#stream || globalThis.document.visibilityState !== "visible") return;
    this.hurry(false);
    this.#look();
  };
  /** Back from the browser's cache of pages, where nothing is heard. */
  readonly #onShown = (event: PageTransitionEvent): void => {
    if (event.persisted && !this.#stream) this.#ask();
  };
  readonly #look = (): void => {
    if (!this.#stream && this.#requests.now() - this.#heardAt > this.#requests.silenceMs / 2) this.#ask();
  };

  #say(word: Word): void {
    this.#channel?.postMessage(word);
  }

  /** Whoever reads answers at once; who does not is replaced. */
  #ask(): void {
    if (this.#unanswered !== undefined) return;
    this.#say({ kind: "ask" });
    this.#unanswered = setTimeout(() => {
      this.#answered();
      void this.#stand(true);
    }, this.#requests.silenceMs / 10);
  }

  #answered(): void {
    clearTimeout(this.#unanswered);
    this.#unanswered = undefined;
  }

  #leave(): void {
    this.#answered();
    clearInterval(this.#watch);
    globalThis.document?.removeEventListener("visibilitychange", this.#onVisible);
    globalThis.removeEventListener?.("pageshow", this.#onShown);
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
      // Where a browser refuses its locks (it stores nothing, say), each tab reads for itself.
      if (!(error instanceof DOMException && error.name === "AbortError")) await this.#lead(wish.signal);
    }
    if (wish.signal.aborted) return; // no longer wanted, or wished for anew
    this.#stepDown();
    void this.#stand(false);
  }

  #stepDown(): void {
    this.#stream?.stop();
    this.#stream = null;
    this.#heardAt = this.#requests.now();
  }

  #lead(wish: AbortSignal): Promise<void> {
    if (wish.aborted) return Promise.resolve();
    this.#answered();
    this.#by = crypto.randomUUID();
    this.#count = 0;
    this.#stands = { connection: "connecting" };
    this.#stream = new Stream(this.#requests, this.#path, {
      query: this.#listening.query,
      onFrame: (frame) => {
        this.#count += 1;
        this.#tell({ frame });
        this.#listening.onFrame(frame);
      },
      onAlive: () => {
        this.#tell({});
      },
      onConnection: (connection, told) => {
        this.#stood(connection, told);
      },
    });
    this.#tellAll();
    this.#stream.open();
    return new Promise((resolve) => {
      this.#release = resolve;
    });
  }

  #tell(more: Omit<Reading, "kind" | "by" | "count">): void {
    this.#say({ kind: "told", by: this.#by, count: this.#count, ...more });
  }

  #tellAll(): void {
    this.#tell({ whole: this.#listening.whole(), stands: this.#stands });
  }

  #stood(connection: Connection, told: Told = {}): void {
    const { retryAt, error } = told;
    const plain = error && { code: error.code, status: error.status, detail: error.detail, fields: error.fields };
    this.#stands = { connection, retryAt, error: plain };
    this.#tell({ stands: this.#stands });
    if (isOver(connection)) this.#leave(); // the server's own word, for all tabs
    this.#listening.onConnection(connection, told);
  }

  #hear(word: Word): void {
    if (word.kind === "told") {
      if (!this.#stream) this.#follow(word);
    } else if (word.kind === "ask" && this.#stream) {
      this.#tellAll();
      this.#stream.check(); // its own clock may be slowed down
    } else if (word.kind === "hurry") {
      this.#stream?.hurry(word.suspicious);
    }
  }

  #follow(told: Reading): void {
    this.#heardAt = this.#requests.now();
    if (told.whole !== undefined) this.#answered();
    try {
      this.#keepUp(told);
    } catch {
      this.#by = ""; // the next word brings the next try
    }
    const keepsUp = told.by === this.#by && told.count === this.#count;
    if (told.stands && this.#channel && (keepsUp || told.stands.connection !== "live")) this.#follows(told.stands);
  }

  #keepUp({ by, count, frame, whole }: Reading): void {
    const known = by === this.#by;
    if (known && count === this.#count + (frame ? 1 : 0)) {
      this.#count = count;
      if (frame) this.#listening.onFrame(frame);
    } else if (whole === undefined) {
      this.#ask();
    } else {
      const another = this.#by !== "" && !known; // which may not have heard all that was told here
      this.#by = by;
      this.#count = count;
      if (whole) this.#listening.onFrame(whole, another);
    }
  }

  #follows({ connection, retryAt, error: plain }: Stands): void {
    const error = plain && new LegatoError(plain.code, plain.status, plain.detail, plain.fields);
    if (isOver(connection)) {
      this.#leave();
      this.#requests.onReport("client.stream.reader-error", `${this.#path}: ${error?.code ?? connection}`);
    }
    this.#listening.onConnection(connection, { ...(retryAt === undefined ? {} : { retryAt }), ...(error ? { error } : {}) });
  }
}

const isOver = (connection: Connection): boolean => connection === "gone" || connection === "closed";
