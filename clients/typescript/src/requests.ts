import { Backoff } from "./backoff";
import { LegatoError } from "./errors";
import type { ReasonCode } from "./types";
import { uploading } from "./uploading";

export interface LegatoOptions {
  /** Where Legato is; by default where the page is. */
  baseUrl?: string;
  headers?: Record<string, string>;
  fetch?: typeof fetch;
  random?: () => number;
  /** Milliseconds. */
  now?: () => number;
  /** How long a call with all its attempts may take. */
  retryForMs?: number;
  /** A stream that brings nothing for so long is dead: the server's heartbeat comes every 15 s. */
  silenceMs?: number;
  /** Whether all tabs of a browser read a stream together; by default in browsers, where cookies say who asks. */
  shared?: boolean;
  /** Why a stream ended; without `sessionId`, that of the list. */
  onReport?: (code: ReasonCode, detail: string, sessionId?: string) => void;
}

export type Query = Record<string, string | number | boolean | null | undefined>;
export interface Asked {
  query?: Query;
  body?: unknown;
  raw?: BodyInit;
  /** Is told how many bytes of `raw` have gone, where that can be known: in a browser. */
  onSent?: ((bytes: number) => void) | undefined;
  headers?: Record<string, string>;
  /** False where a second attempt could do it a second time. */
  repeatable?: boolean;
  timeoutMs?: number;
  /** Whether it goes on when the page is left. */
  keepalive?: boolean;
}

const ANSWER_MS = 10_000;

/** One request and its answer: repeated while that is safe and time is left, else one clear error. */
export class Requests {
  readonly now: () => number;
  readonly random: () => number;
  readonly silenceMs: number;
  readonly onReport: (code: ReasonCode, detail: string) => void;
  readonly shared: boolean;
  readonly #options: LegatoOptions;

  constructor(options: LegatoOptions) {
    this.#options = options;
    this.now = options.now ?? (() => Date.now());
    this.random = options.random ?? Math.random;
    this.silenceMs = options.silenceMs ?? 40_000;
    this.onReport = options.onReport ?? (() => undefined);
    const alike = globalThis.document !== undefined && options.headers === undefined;
    this.shared = (options.shared ?? alike) && globalThis.navigator?.locks !== undefined && globalThis.BroadcastChannel !== undefined;
  }

  /** The same for a session, which its reports then name. */
  of(sessionId: string): Requests {
    return new Requests({ ...this.#options, onReport: (code, detail) => this.#options.onReport?.(code, detail, sessionId) });
  }

  /** When what is begun now has been tried for long enough. */
  deadline(): number {
    return this.now() + (this.#options.retryForMs ?? 30_000);
  }

  url(path: string, query: Query = {}): string {
    const base = this.#options.baseUrl ?? "";
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) if (value != null) search.set(name, String(value));
    const asked = search.size > 0 ? `${path}?${search.toString()}` : path;
    return base === "" || base.endsWith("/") ? base + asked : `${base}/${asked}`;
  }

  async call<T>(method: string, path: string, asked: Asked = {}): Promise<T> {
    const backoff = new Backoff(this.random);
    const deadline = this.deadline();
    for (;;) {
      try {
        return await this.#once<T>(method, path, asked);
      } catch (error) {
        if (!(error instanceof LegatoError) || !error.repeatable || asked.repeatable === false) throw error;
        const waitMs = backoff.nextMs(error.retryAfterMs);
        if (this.now() + waitMs > deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, waitMs));
      }
    }
  }

  async open(path: string, query: Query, headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
    const response = await this.#fetch(this.url(path, query), {
      headers: { ...this.#options.headers, ...headers, Accept: "text/event-stream" },
      cache: "no-store",
      signal,
    });
    if (!response.ok) throw await LegatoError.of(response);
    if (!response.headers.get("Content-Type")?.startsWith("text/event-stream") || !response.body) {
      throw new LegatoError("not_legato", response.status, "This is not an event stream.");
    }
    return response;
  }

  async #once<T>(method: string, path: string, asked: Asked): Promise<T> {
    const json: Record<string, string> = asked.body === undefined ? {} : { "Content-Type": "application/json" };
    const body = asked.body === undefined ? asked.raw : JSON.stringify(asked.body);
    const url = this.url(path, asked.query);
    const timeoutMs = asked.timeoutMs ?? ANSWER_MS;
    const init: RequestInit = { method, headers: { ...this.#options.headers, ...json, ...asked.headers }, ...(body === undefined ? {} : { body }) };
    const { onSent } = asked;
    const response = onSent && !this.#options.fetch && "XMLHttpRequest" in globalThis
      ? await reached(uploading(url, init, onSent, timeoutMs))
      : await this.#fetch(url, { ...init, signal: AbortSignal.timeout(timeoutMs), keepalive: asked.keepalive ?? false });
    if (!response.ok) throw await LegatoError.of(response);
    if (response.status === 204) return undefined as T;
    return (await response.json().catch((error: unknown) => {
      throw unreachable(error);
    })) as T;
  }

  #fetch(url: string, init: RequestInit): Promise<Response> {
    return reached((this.#options.fetch ?? fetch)(url, init));
  }
}

async function reached(response: Promise<Response>): Promise<Response> {
  try {
    return await response;
  } catch (error) {
    throw unreachable(error);
  }
}

export function unreachable(error: unknown): LegatoError {
  return new LegatoError("unreachable", 0, error instanceof Error ? error.message : String(error));
}
