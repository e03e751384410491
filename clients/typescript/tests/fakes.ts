import { vi } from "vitest";
import type { Frame } from "../src/index";

/** Connections that a test answers by hand. */
export class Wire {
  readonly asked: Asked[] = [];
  readonly fetch: typeof fetch = (input, init) =>
    new Promise((resolve, reject) => {
      const signal = init?.signal as AbortSignal;
      const url = input as string;
      this.asked.push(new Asked(url, signal, resolve, reject));
      signal.addEventListener("abort", () => {
        reject(signal.reason as Error);
      });
    });

  /** The connection that was asked for last. */
  get last(): Asked {
    const last = this.asked.at(-1);
    if (!last) throw new Error("nothing was asked for");
    return last;
  }
  get open(): number {
    return this.asked.filter((each) => !each.signal.aborted).length;
  }
}

class Asked {
  readonly url: string;
  readonly signal: AbortSignal;
  readonly #resolve: (response: Response) => void;
  readonly #reject: (error: Error) => void;
  #body: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(url: string, signal: AbortSignal, resolve: (response: Response) => void, reject: (error: Error) => void) {
    this.url = url;
    this.signal = signal;
    this.#resolve = resolve;
    this.#reject = reject;
  }
  accept(): this {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#body = controller;
        this.signal.addEventListener("abort", () => {
          controller.error(this.signal.reason);
        });
      },
    });
    this.#resolve(new Response(body, { headers: { "Content-Type": "text/event-stream" } }));
    return this;
  }
  refuse(status: number, code: string, headers: Record<string, string> = {}): void {
    this.#resolve(Response.json({ code, detail: code }, { status, headers }));
  }
  /** The words of something in between. */
  interpose(status: number): void {
    this.#resolve(new Response("<h1>Elsewhere</h1>", { status, headers: { "Content-Type": "text/html" } }));
  }
  fail(): void {
    this.#reject(new TypeError("fetch failed"));
  }
  async say(text: string): Promise<void> {
    this.#body?.enqueue(new TextEncoder().encode(text));
    if (vi.isFakeTimers()) await settle();
  }
  end(): void {
    this.#body?.close();
  }
}

/** Lets all that is due now happen; for fake timers. */
export const settle = async (ms = 0): Promise<void> => void (await vi.advanceTimersByTimeAsync(ms));

export const SESSION = "ses_00000000000000000000000000";
/** A snapshot of a session in which so much was said. */
export function snapshot(cursor: string, text: string): Frame {
  const at = "2026-11-26T00:00:00Z";
  const message = { id: "msg_1", session_id: SESSION, turn_id: "trn_1", role: "assistant", status: "in_progress", created_at: at, parts: [{ type: "text", text }] };
  const turn = { id: "trn_1", session_id: SESSION, message_id: "msg_0", answer_id: "msg_1", agent_id: "demo", status: "in_progress", created_at: at };
  const session = { id: SESSION, owner: "me", agent_id: "demo", agent_name: "Demo", created_at: at, last_activity: at };
  const state = { session, messages: [message], turns: [turn], leaf_id: "msg_1", has_more: false, approvals: [], gauge: null };
  return { event: "snapshot", id: cursor, data: JSON.stringify({ state }) };
}
export const token = (cursor: string, text: string): Frame => ({
  event: "token",
  id: cursor,
  data: JSON.stringify({ turn_id: "trn_1", message_id: "msg_1", part: 0, kind: "text", text }),
});
export const wired = ({ event, id, data }: Frame): string => `id: ${id ?? ""}\nevent: ${event}\ndata: ${data}\n\n`;

/** A document and a window, as far as the client looks at them. */
export class Browser {
  readonly #window = new EventTarget();
  readonly #document = Object.assign(new EventTarget(), { visibilityState: "visible" });

  constructor() {
    vi.stubGlobal("document", this.#document);
    vi.stubGlobal("addEventListener", this.#window.addEventListener.bind(this.#window));
    vi.stubGlobal("removeEventListener", this.#window.removeEventListener.bind(this.#window));
  }
  see(visibilityState: "visible" | "hidden"): void {
    this.#document.visibilityState = visibilityState;
    this.#document.dispatchEvent(new Event("visibilitychange"));
  }
  online(): void {
    this.#window.dispatchEvent(new Event("online"));
  }
  restoreFromCache(): void {
    this.#window.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
  }
}
