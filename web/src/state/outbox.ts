import { LegatoError, newId, type Message, type Mode } from "legato-client";
import { once } from "./client";
import { insist } from "./patience";
import { forget, keysOf, recall, remember } from "./remembered";
import { Store } from "./store";

export interface SentFile {
  id: string;
  name: string;
  size: number;
}

export interface Outgoing {
  sessionId: string;
  messageId: string;
  /** When it was written, in milliseconds since 1970. */
  at: number;
  text: string;
  mode: Mode;
  /** Files that go along, by id; the rest is for the eye. */
  files?: readonly SentFile[];
  /** The message that it replaces. */
  edits?: string | undefined;
  modelId?: string | undefined;
  /** How the session is to be made, as long as it is not. */
  create?: { agent_id?: string | undefined; model_id?: string | undefined } | null;
  /** Why the server has refused it. */
  error?: string;
  /** Why it could not be delivered yet: the code of the last attempt. */
  trouble?: string;
  accepted?: boolean;
}

const PREFIX = "legato.outbox.";

/**
 * Messages from the click to the server's word. They keep their id through every repeat and survive a closed tab, each under a
 * key of its own, so that neither a killed server nor an impatient person loses or doubles one. Two tabs may send the same
 * one: it is accepted once.
 */
export class Outbox extends Store<readonly Outgoing[]> {
  readonly #lines = new Map<string, Promise<void>>();
  readonly #onCreated: (sessionId: string) => void;

  constructor(onCreated: (sessionId: string) => void) {
    super(kept());
    this.#onCreated = onCreated;
    for (const entry of this.read()) if (!entry.error) this.#enqueue(entry);
  }
  /** Whether the session is still to be made. */
  creating(sessionId: string): boolean {
    return this.read().some((entry) => entry.sessionId === sessionId && entry.create);
  }
  add(entry: Omit<Outgoing, "messageId" | "at">): void {
    const whole = { ...entry, messageId: newId("msg"), at: Date.now() };
    this.put([...this.read(), whole]);
    this.#enqueue(whole);
  }
  /** The stream has shown these messages, or their author took them back. */
  drop(ids: readonly string[]): void {
    if (this.read().some((entry) => ids.includes(entry.messageId))) {
      this.put(this.read().filter((entry) => !ids.includes(entry.messageId)));
    }
  }
  /** Under the same id: should the server have it after all, it is there once. */
  again(entry: Outgoing): void {
    const whole = { ...entry };
    delete whole.error;
    this.put(this.read().map((each) => (each.messageId === entry.messageId ? whole : each)));
    this.#enqueue(whole);
  }
  arrived(messages: readonly Message[]): void {
    this.drop(messages.flatMap((message) => (message.client_message_id ? [message.client_message_id] : [])));
  }
  override put(entries: readonly Outgoing[]): void {
    const before = this.read();
    for (const entry of entries) if (!before.includes(entry)) keep(entry);
    const ids = new Set(entries.map(({ messageId }) => messageId));
    for (const { messageId } of before) if (!ids.has(messageId)) forget(PREFIX + messageId);
    super.put(entries);
  }
  #enqueue(entry: Outgoing): void {
    const line = this.#lines.get(entry.sessionId) ?? Promise.resolve();
    this.#lines.set(entry.sessionId, line.then(() => this.#deliver(entry)));
  }
  async #deliver({ sessionId, messageId, text, mode, files, edits, modelId, create }: Outgoing): Promise<void> {
    const sent = { messageId, mode, ...(edits ? { edits } : {}), ...(modelId ? { modelId } : {}) };
    const attached = files?.length ? { files: files.map(({ id }) => id) } : {};
    const tell = ({ code }: LegatoError): void => this.#change(messageId, { trouble: code });
    try {
      if (create) await this.#create(sessionId, create, tell);
      await insist(() => once.send(sessionId, text, { ...sent, ...attached }), tell);
      this.#change(messageId, { accepted: true });
    } catch (error) {
      this.#change(messageId, { error: error instanceof LegatoError ? error.detail : String(error) });
    }
  }
  async #create(id: string, { agent_id, model_id }: NonNullable<Outgoing["create"]>, tell: (trouble: LegatoError) => void): Promise<void> {
    const asked = { id, welcome: false, ...(agent_id ? { agent_id } : {}), ...(model_id ? { model_id } : {}) };
    // The id is ours, so a repeat that meets its own session has succeeded.
    await insist(() => once.createSession(asked), tell).catch((error: unknown) => {
      if (!(error instanceof LegatoError && error.code === "session_exists")) throw error;
    });
    this.put(this.read().map((entry) => (entry.sessionId === id ? { ...entry, create: null } : entry)));
    this.#onCreated(id);
  }
  #change(id: string, changes: Partial<Outgoing>): void {
    this.put(this.read().map((entry) => (entry.messageId === id ? { ...entry, ...changes } : entry)));
  }
}

function keep(entry: Outgoing): void {
  if (entry.accepted) forget(PREFIX + entry.messageId);
  else remember(PREFIX + entry.messageId, entry);
}

/** What was not delivered when its tab was closed, in the order in which it was written. */
function kept(): Outgoing[] {
  const found = keysOf(PREFIX).map((key) => recall(key)).filter((entry) => entry !== undefined) as Outgoing[];
  return found.sort((one, other) => one.at - other.at);
}
