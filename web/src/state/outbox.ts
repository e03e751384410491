import { LegatoError, insist, newId, type Mode, type Message } from "legato-client";

export interface Outgoing {
  session: string;
  message_id: string;
  text: string;
  mode: Mode;
  edits?: string | undefined;
  model_id?: string | undefined;
  create?: { agent_id?: string | undefined; model_id?: string | undefined } | null;
  error?: string;
  sent?: boolean;
}

const KEY = "legato.outbox";

/**
 * Messages from the click to the server's word. They keep their id through every repeat and survive a reload, so that
 * neither a killed server nor an impatient person loses or doubles one.
 */
export class Outbox {
  entries: readonly Outgoing[] = JSON.parse(sessionStorage.getItem(KEY) ?? "[]") as Outgoing[];
  #lines = new Map<string, Promise<void>>();
  #onChange: () => void;
  #onCreated: (session: string) => void;

  constructor(onChange: () => void, onCreated: (session: string) => void) {
    this.#onChange = onChange;
    this.#onCreated = onCreated;
    for (const entry of this.entries) if (!entry.error) this.#enqueue(entry);
  }
  /** Whether the session is still to be made. */
  creating(session: string): boolean {
    return this.entries.some((entry) => entry.session === session && entry.create);
  }
  add(entry: Omit<Outgoing, "message_id">): void {
    const whole = { ...entry, message_id: newId("msg") };
    this.#set([...this.entries, whole]);
    this.#enqueue(whole);
  }
  /** The stream has shown these messages, or their author took them back. */
  drop(ids: readonly string[]): void {
    if (this.entries.some((entry) => ids.includes(entry.message_id))) {
      this.#set(this.entries.filter((entry) => !ids.includes(entry.message_id)));
    }
  }
  arrived(messages: readonly Message[]): void {
    this.drop(messages.flatMap((message) => (message.client_message_id ? [message.client_message_id] : [])));
  }
  #enqueue(entry: Outgoing): void {
    const line = this.#lines.get(entry.session) ?? Promise.resolve();
    this.#lines.set(entry.session, line.then(() => this.#deliver(entry)));
  }
  async #deliver({ session, message_id, text, mode, edits, model_id, create }: Outgoing): Promise<void> {
    try {
      if (create) await this.#create(session, create);
      const body = { message_id, text, mode, ...(edits ? { edits } : {}), ...(model_id ? { model_id } : {}) };
      await insist("POST", `v1/sessions/${session}/turns`, body);
      this.#change(message_id, { sent: true });
    } catch (error) {
      this.#change(message_id, { error: error instanceof LegatoError ? error.detail : String(error) });
    }
  }
  async #create(session: string, create: NonNullable<Outgoing["create"]>): Promise<void> {
    // The id is ours, so a repeat that meets its own session has succeeded.
    await insist("POST", "v1/sessions", { id: session, welcome: false, ...create }).catch((error: unknown) => {
      if (!(error instanceof LegatoError && error.code === "session_exists")) throw error;
    });
    this.#set(this.entries.map((entry) => (entry.session === session ? { ...entry, create: null } : entry)));
    this.#onCreated(session);
  }
  #change(id: string, changes: Partial<Outgoing>): void {
    this.#set(this.entries.map((entry) => (entry.message_id === id ? { ...entry, ...changes } : entry)));
  }
  #set(entries: readonly Outgoing[]): void {
    this.entries = entries;
    sessionStorage.setItem(KEY, JSON.stringify(entries.filter((entry) => !entry.sent)));
    this.#onChange();
  }
}
