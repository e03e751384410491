import type { Approval, Gauge, Message, Notice, Part, Session, State, Status, Turn, Usage, Fault } from "./types";

const TERMINAL: ReadonlySet<Status> = new Set(["completed", "failed", "cancelled", "incomplete"]);
export const isTerminal = (status: Status): boolean => TERMINAL.has(status);

interface Place {
  message_id: string;
  part: number;
}
type Data = Record<string, unknown>;

/** The rules of docs/protocol.md, "fold". A message that changes becomes another object; the others stay. */
export class Fold {
  #session: Session | null = null;
  #messages = new Map<string, Message>();
  #turns = new Map<string, Turn>();
  #approvals = new Map<string, Approval>();
  #notices = new Map<string, Notice>();
  #gone = new Set<string>();
  #leafId: string | null = null;
  #hasMore = false;
  #gauge: Gauge | null = null;

  has(messageId: string): boolean {
    return this.#messages.has(messageId);
  }
  /** Older messages, fetched by the page. */
  older(messages: Message[], hasMore: boolean): void {
    for (const message of messages) if (!this.has(message.id)) this.#hold(message);
    this.#hasMore = hasMore;
  }
  snapshot(): State | null {
    if (!this.#session) return null;
    const path: Message[] = [];
    for (let at = this.#at(this.#leafId); at; at = this.#at(at.parent_id ?? null)) path.push(at);
    const parent = path.at(-1)?.parent_id ?? null;
    if (path.length > 0 && (parent === null || this.#gone.has(parent))) this.#hasMore = false;
    const turns = this.#ordered();
    const waits = turns.filter((turn) => turn.status === "queued" && turn.kind !== "retry");
    return {
      session: this.#session,
      messages: path.reverse(),
      waiting: waits.map((turn) => this.#at(turn.message_id)).filter((message) => message !== undefined),
      turns,
      approvals: [...this.#approvals.values()],
      notices: [...this.#notices.values()],
      leaf_id: this.#leafId,
      has_more: this.#hasMore,
      gauge: this.#gauge,
    };
  }
  apply(type: string, data: unknown): void {
    const event = data as Data;
    if (type === "snapshot" && event["state"]) this.#load(event["state"] as State);
    else if (type === "session") this.#toldSession(event["session"] as Session);
    else if (this.#session) this.#change(type, event);
  }
  #toldSession(session: Session): void {
    this.#session = session;
  }
  #change(type: string, data: Data): void {
    const place = data as unknown as Place;
    const turnId = data["turn_id"] as string;
    switch (type) {
      case "turn":
        return this.#toldTurn(data["turn"] as Turn);
      case "message":
        return this.#toldMessage(data as unknown as { op: string; message_id: string; message?: Message; leaf?: boolean });
      case "token":
        return this.#token(data as unknown as Place & { kind: string; text: string });
      case "tool_call":
      case "tool_result":
        return this.#edit(place, (parts) => void (parts[place.part] = { ...data, type } as unknown as Part));
      case "reset":
        return this.#edit(place, (parts) => void parts.splice(place.part), false);
      case "status_update":
        return this.#changeTurn(turnId, { phase: data["phase"] as NonNullable<Turn["phase"]>, detail: (data["detail"] as string) ?? null });
      case "approval":
        return this.#toldApproval(data["approval"] as Approval);
      case "warning":
        return void this.#notices.set(`${turnId}${String(data["code"])}`, {
          turn_id: turnId,
          code: String(data["code"]),
          text: String(data["message"]),
        });
      case "usage":
        return this.#usage(turnId, data as unknown as Usage & { gauge?: Gauge | null });
      case "done":
        return this.#done(data as unknown as Turn & { turn_id: string });
      case "snapshot":
        if (data["message"] && this.has((data["message"] as Message).id)) this.#hold(data["message"] as Message);
    }
  }
  #load(state: State): void {
    this.#session = state.session;
    this.#leafId = state.leaf_id ?? null;
    this.#hasMore = state.has_more ?? false;
    this.#gauge = state.gauge ?? null;
    this.#messages = new Map();
    for (const message of state.messages ?? []) this.#hold(message);
    this.#turns = new Map((state.turns ?? []).map((turn) => [turn.id, turn]));
    this.#approvals = new Map((state.approvals ?? []).map((approval) => [approval.id, approval]));
    this.#notices = new Map();
    this.#gone = new Set();
  }
  #at(id: string | null): Message | undefined {
    return id === null ? undefined : this.#messages.get(id);
  }
  #hold(message: Message): void {
    this.#messages.set(message.id, { ...message, parts: message.parts ?? [] });
  }
  #toldTurn(turn: Turn): void {
    this.#turns.set(turn.id, turn);
    const { tokens, window } = turn.context ?? {};
    if (turn.status === "in_progress" && tokens && window) this.#gauge = { tokens, window };
  }
  #toldMessage(event: { op: string; message_id: string; message?: Message; leaf?: boolean }): void {
    const { op, message, message_id: id, leaf } = event;
    if (!message) return this.#remove(id);
    const waited = this.#messages.get(id)?.status === "queued";
    this.#hold(message);
    const follows = (op === "added" || waited) && (message.parent_id ?? null) === this.#leafId;
    if (message.status !== "queued" && (follows || message.status === "in_progress")) this.#leafId = id;
    if (leaf) this.#leafId = id;
  }
  #remove(id: string): void {
    const parent = this.#messages.get(id)?.parent_id ?? null;
    this.#gone.add(id);
    if (this.#messages.delete(id) && this.#leafId === id) this.#leafId = parent && this.#gone.has(parent) ? null : parent;
  }
  #token({ kind, text, ...place }: Place & { kind: string; text: string }): void {
    this.#edit(place, (parts) => {
      const part = parts[place.part] ?? { type: kind === "reasoning" ? "reasoning" : "text", text: "" };
      if (part.type === "tool_call") parts[place.part] = { ...part, arguments: (part.arguments ?? "") + text };
      else if (part.type !== "tool_result") parts[place.part] = { ...part, text: part.text + text };
    });
  }
  #edit({ message_id, part }: Place, change: (parts: Part[]) => void, pad = true): void {
    const message = this.#messages.get(message_id);
    if (!message) return;
    const parts = [...message.parts];
    while (pad && parts.length < part) parts.push({ type: "text", text: "" });
    change(parts);
    this.#messages.set(message_id, { ...message, parts });
  }
  #toldApproval(approval: Approval): void {
    if (approval.status === "pending") this.#approvals.set(approval.id, approval);
    else this.#approvals.delete(approval.id);
  }
  #usage(turnId: string, { gauge, ...usage }: Usage & { gauge?: Gauge | null }): void {
    this.#changeTurn(turnId, { usage });
    this.#changeAnswer(turnId, { usage });
    if (gauge) this.#gauge = gauge;
  }
  #done({ turn_id, status, reason, error, text }: Turn & { turn_id: string }): void {
    for (const turn of [...this.#turns.values()]) if (isTerminal(turn.status)) this.#turns.delete(turn.id);
    for (const approval of [...this.#approvals.values()]) if (approval.turn_id === turn_id) this.#approvals.delete(approval.id);
    const fault: Fault | null = error ?? null;
    this.#changeTurn(turn_id, { status, reason: reason ?? null, error: fault, text: text ?? null, phase: null, detail: null });
    this.#changeAnswer(turn_id, { status, error: fault });
  }
  #changeTurn(id: string, changes: Partial<Turn>): void {
    const turn = this.#turns.get(id);
    if (turn) this.#turns.set(id, { ...turn, ...changes });
  }
  #changeAnswer(turnId: string, changes: Partial<Message>): void {
    const message = this.#at(this.#turns.get(turnId)?.answer_id ?? null);
    if (message) this.#messages.set(message.id, { ...message, ...changes });
  }
  #ordered(): Turn[] {
    const order = ({ status }: Turn) => (status === "queued" ? 2 : status === "in_progress" ? 1 : 0);
    return [...this.#turns.values()].sort((a, b) => order(a) - order(b) || (a.rank ?? 0) - (b.rank ?? 0));
  }
}
