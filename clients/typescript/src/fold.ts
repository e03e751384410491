import type { Approval, Event, EventData, Gauge, Message, Part, Session, State, Status, Turn } from "./types";

const TERMINAL: ReadonlySet<Status> = new Set(["completed", "failed", "cancelled", "incomplete"]);
export const isTerminal = (status: Status): boolean => TERMINAL.has(status);

/** Parts of one message, mutable only until a picture is taken of it. */
interface Draft {
  message: Message;
  parts: Part[] | null;
}

/**
 * Events folded into the state that they describe: the rule of docs/protocol.md, the same as src/legato/core/fold.py.
 * Tolerant: an event about something this reader never saw changes nothing. Pictures are immutable and share what stays.
 */
export class Fold {
  #session: Session | null = null;
  #drafts = new Map<string, Draft>();
  #turns = new Map<string, Turn>();
  #approvals = new Map<string, Approval>();
  #gone = new Set<string>();
  #leafId: string | null = null;
  #hasMore = false;
  #gauge: Gauge | null = null;

  constructor(state: State | null = null) {
    if (state) this.#load(state);
  }

  apply(event: Event): void {
    switch (event.type) {
      case "token":
        this.#token(event.data);
        break;
      case "message":
        this.#told(event.data);
        break;
      case "turn":
        this.#toldTurn(event.data.turn);
        break;
      case "session":
        this.#session = event.data.session;
        break;
      case "status_update":
        this.#changeTurn(event.data.turn_id, { phase: event.data.phase, detail: event.data.detail ?? null });
        break;
      case "usage":
        this.#usage(event.data);
        break;
      case "done":
        this.#done(event.data);
        break;
      case "tool_call": {
        const { call_id, name, arguments: given } = event.data;
        this.#put(event.data, { type: "tool_call", call_id, name, arguments: given });
        break;
      }
      case "tool_result": {
        const { call_id, output, is_error } = event.data;
        this.#put(event.data, { type: "tool_result", call_id, output, is_error: is_error ?? false });
        break;
      }
      case "approval":
        this.#toldApproval(event.data.approval);
        break;
      case "reset":
        this.#parts(event.data.message_id)?.splice(event.data.part ?? 0);
        break;
      case "snapshot":
        if (event.data.state) this.#load(event.data.state);
        else if (event.data.message && this.#drafts.has(event.data.message.id)) this.#hold(event.data.message);
        break;
      case "error":
      case "warning":
    }
  }

  /** Older messages of the active branch, fetched beside the stream. */
  older(messages: readonly Message[], hasMore: boolean): void {
    for (const message of messages) if (!this.#drafts.has(message.id)) this.#hold(message);
    this.#hasMore = hasMore;
  }

  /** The state now: the active branch, then what waits. Null until something told about the session. */
  state(): State | null {
    if (!this.#session) return null;
    const turns = [...this.#turns.values()].sort((a, b) => order(a) - order(b) || (a.rank ?? 0) - (b.rank ?? 0));
    const path = this.#path();
    const waiting = turns.filter((turn) => turn.status === "queued" && bringsMessage(turn));
    const drafts = [...path, ...waiting.map((turn) => this.#drafts.get(turn.message_id)).filter((each) => each !== undefined)];
    const root = path[0];
    return {
      session: this.#session,
      messages: drafts.map(picture),
      turns,
      leaf_id: this.#leafId,
      has_more: this.#hasMore && !(root && (root.message.parent_id ?? null) === null),
      approvals: [...this.#approvals.values()],
      gauge: this.#gauge,
    };
  }

  message(id: string): Message | null {
    const draft = this.#drafts.get(id);
    return draft ? picture(draft) : null;
  }

  #load(state: State): void {
    this.#session = state.session;
    this.#leafId = state.leaf_id;
    this.#hasMore = state.has_more;
    this.#gauge = state.gauge;
    this.#drafts = new Map();
    for (const message of state.messages) this.#hold(message);
    this.#turns = new Map(state.turns.map((turn) => [turn.id, turn]));
    this.#approvals = new Map(state.approvals.map((approval) => [approval.id, approval]));
    this.#gone = new Set();
  }

  #hold(message: Message): void {
    this.#drafts.set(message.id, { message, parts: null });
  }

  #path(): Draft[] {
    const path: Draft[] = [];
    const seen = new Set<string>(); // a circle, which only damage can make, is not walked for ever
    let at = this.#leafId;
    for (let draft = this.#at(at); draft && at !== null && !seen.has(at); draft = this.#at(at)) {
      seen.add(at);
      path.push(draft);
      at = draft.message.parent_id ?? null;
    }
    const root = path.at(-1);
    if (root && at !== null && this.#gone.has(at)) root.message = { ...root.message, parent_id: null };
    return path.reverse();
  }

  #at(id: string | null): Draft | undefined {
    return id === null ? undefined : this.#drafts.get(id);
  }

  #parts(messageId: string): Part[] | undefined {
    const draft = this.#drafts.get(messageId);
    if (draft) draft.parts ??= [...(draft.message.parts ?? [])];
    return draft?.parts ?? undefined;
  }

  #token({ message_id, part: index, kind, text }: EventData["token"]): void {
    const parts = this.#parts(message_id);
    if (!parts) return;
    pad(parts, index, { type: kind === "reasoning" ? "reasoning" : "text", text: "" });
    const part = parts[index];
    if (part?.type === "text" || part?.type === "reasoning") parts[index] = { ...part, text: part.text + text };
    else if (part?.type === "tool_call") parts[index] = { ...part, arguments: (part.arguments ?? "") + text };
  }

  #put({ message_id, part: index }: { message_id: string; part: number }, part: Part): void {
    const parts = this.#parts(message_id);
    if (!parts) return;
    pad(parts, index, part);
    parts[index] = part;
  }

  #toldTurn(turn: Turn): void {
    this.#turns.set(turn.id, turn);
    if (turn.status === "in_progress" && turn.context?.window) {
      this.#gauge = { tokens: turn.context.tokens, window: turn.context.window };
    }
    this.#active(turn.created_at);
  }

  #told({ op, message_id: id, message, leaf }: EventData["message"]): void {
    if (!message) {
      this.#remove(id);
      return;
    }
    const enters = op === "added" || this.#drafts.get(id)?.message.status === "queued";
    this.#hold(message);
    if (message.status === "queued") return;
    const follows = enters && (message.parent_id ?? null) === this.#leafId;
    if (leaf || follows || message.status === "in_progress") this.#leafId = id;
  }

  #remove(id: string): void {
    this.#gone.add(id);
    const gone = this.#drafts.get(id);
    if (!gone || !this.#drafts.delete(id) || this.#leafId !== id) return;
    const parent = gone.message.parent_id ?? null;
    this.#leafId = parent !== null && this.#gone.has(parent) ? null : parent;
  }

  #toldApproval(approval: Approval): void {
    this.#approvals.delete(approval.id);
    if (approval.decided_at) this.#active(approval.decided_at);
    else this.#approvals.set(approval.id, approval);
  }

  #usage({ turn_id, gauge, ...usage }: EventData["usage"]): void {
    this.#changeTurn(turn_id, { usage });
    this.#changeAnswer(turn_id, { usage });
    if (gauge) this.#gauge = gauge;
  }

  #done({ turn_id, status, reason, finished_at, error, text }: EventData["done"]): void {
    this.#active(finished_at);
    for (const turn of [...this.#turns.values()]) if (isTerminal(turn.status)) this.#turns.delete(turn.id);
    const fault = error ?? null;
    this.#changeTurn(turn_id, { status, reason, finished_at, error: fault, text: text ?? null, phase: null, detail: null });
    this.#changeAnswer(turn_id, { status, error: fault });
    for (const approval of [...this.#approvals.values()]) {
      if (approval.turn_id === turn_id) this.#approvals.delete(approval.id);
    }
  }

  #changeTurn(id: string, changes: Partial<Turn>): void {
    const turn = this.#turns.get(id);
    if (turn) this.#turns.set(id, { ...turn, ...changes });
  }

  #changeAnswer(turnId: string, changes: Partial<Message>): void {
    const draft = this.#at(this.#turns.get(turnId)?.answer_id ?? null);
    if (draft) draft.message = { ...draft.message, ...changes };
  }

  #active(at: string): void {
    const session = this.#session;
    if (session && isBefore(session.last_activity, at)) this.#session = { ...session, last_activity: at };
  }
}

function picture(draft: Draft): Message {
  if (draft.parts) draft.message = { ...draft.message, parts: draft.parts };
  draft.parts = null;
  return draft.message;
}

function pad(parts: Part[], index: number, part: Part): void {
  // Earlier parts may be missing while their tokens are compacted away: a snapshot further on brings them.
  while (parts.length < index) parts.push({ type: "text", text: "" });
  if (parts.length === index) parts.push(part);
}

function order(turn: Turn): number {
  return turn.status === "queued" ? 2 : turn.status === "in_progress" ? 1 : 0;
}

function bringsMessage(turn: Turn): boolean {
  return ["send", "edit", "continue"].includes(turn.kind ?? "send");
}

/** Times may have microseconds, which `Date` cuts off: what it takes for equal is told apart as text. */
function isBefore(one: string, other: string): boolean {
  const difference = Date.parse(one) - Date.parse(other);
  return difference !== 0 ? difference < 0 : fraction(one) < fraction(other);
}
const fraction = (time: string): string => (/\.(\d+)/.exec(time)?.[1] ?? "").padEnd(9, "0");
