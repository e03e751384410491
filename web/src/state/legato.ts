import {
  Follower, LegatoError, Stream, call, insist, newId, watchTheWorld,
  type Agent, type Connection, type Message, type Mode, type Model, type Page, type ReasonCode, type Session,
} from "legato-client";
import { useSyncExternalStore } from "react";
import { Outbox, type Outgoing } from "./outbox";

/** Streams that stay open besides the list's: browsers allow six connections to a host over HTTP/1.1. */
const KEPT_OPEN = 2;

export interface Shown {
  sessions: readonly Session[] | null;
  running: ReadonlySet<string>;
  agents: readonly Agent[];
  models: readonly Model[];
  link: Connection;
  outgoing: readonly Outgoing[];
  chosenAgent: string | undefined;
  chosenModel: string | undefined;
  branches: Readonly<Record<string, readonly string[]>>;
  problem: string;
  reports: readonly { code: ReasonCode; detail: string; at: number }[];
}

/** All that this tab holds, above every view: no navigation can lose it. */
class Store {
  #shown: Shown = {
    sessions: null, running: new Set(), agents: [], models: [], link: "connecting", outgoing: [],
    chosenAgent: undefined, chosenModel: undefined, branches: {}, problem: "", reports: [],
  };
  #listeners = new Set<() => void>();
  #followers = new Map<string, Follower>();
  #fetching: ReturnType<typeof setTimeout> | undefined;
  #outbox = new Outbox(
    () => this.#set({ outgoing: this.#outbox.entries }),
    (session) => this.#followers.get(session)?.open(),
  );

  start(): void {
    watchTheWorld();
    Stream.onReport = (code, detail) => {
      this.#set({ reports: [...this.#shown.reports.slice(-199), { code, detail, at: Date.now() }] });
    };
    this.#set({ outgoing: this.#outbox.entries });
    const list = new Stream("v1/events", {
      onEvent: ({ data }) => this.#hint(data as { what: string; session_id?: string }),
      onConnection: (link) => this.#set({ link }),
    });
    list.open();
    void insist<{ data: Agent[] }>("GET", "v1/agents").then(({ data }) => this.#set({ agents: data }));
    void insist<{ data: Model[] }>("GET", "v1/models").then(({ data }) => this.#set({ models: data }));
  }
  readonly read = (): Shown => this.#shown;
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** The session's follower, begun once and kept; the one asked for last stays connected. */
  follower(id: string): Follower {
    const known = this.#followers.get(id);
    const follower = known ?? new Follower(id);
    if (!known) follower.onMessages = (messages) => this.#arrived(id, messages);
    this.#followers.delete(id);
    this.#followers.set(id, follower);
    return follower;
  }
  /** Connects what is looked at, and lets go of what has not been for longest. */
  look(id: string): void {
    const follower = this.follower(id);
    if (!this.#outbox.creating(id)) follower.open();
    const others = [...this.#followers.values()].slice(0, -KEPT_OPEN);
    for (const other of others) other.close("client.stream.view-remount");
    void this.#fetchBranches(id);
  }
  send(session: string | null, text: string, mode: Mode, edits?: string): string {
    const id = session ?? newId("ses");
    const { chosenAgent, chosenModel } = this.#shown;
    this.#outbox.add({
      session: id, text, mode, edits, model_id: chosenModel,
      create: session ? null : { agent_id: chosenAgent, model_id: chosenModel },
    });
    return id;
  }
  takeBack(messageId: string): void {
    this.#outbox.drop([messageId]);
  }
  choose(agentId: string): void {
    this.#set({ chosenAgent: agentId });
  }
  chooseModel(modelId: string | undefined): void {
    this.#set({ chosenModel: modelId });
  }
  forget(problem = ""): void {
    this.#set({ problem });
  }
  /** Stop, continue, retry, decide …: what went wrong is told, not thrown. */
  async act(method: string, path: string, body?: unknown): Promise<boolean> {
    try {
      this.#set({ problem: "" });
      await call(method, path, body);
      return true;
    } catch (error) {
      this.#set({ problem: error instanceof LegatoError ? error.detail : "The server can't be reached." });
      return false;
    }
  }
  async change(id: string, changes: Partial<Pick<Session, "title" | "pinned">> & { archived?: boolean }): Promise<void> {
    await this.act("PATCH", `v1/sessions/${id}`, changes);
    this.#refetch();
  }
  async remove(id: string): Promise<void> {
    if (!(await this.act("DELETE", `v1/sessions/${id}`))) return;
    this.#followers.get(id)?.close("client.stream.user-abort");
    this.#followers.delete(id);
    this.#set({ sessions: (this.#shown.sessions ?? []).filter((session) => session.id !== id) });
  }
  again(sessionId: string, turnId: string, how: "continue" | "retry"): void {
    void this.act("POST", `v1/sessions/${sessionId}/turns/${turnId}/${how}`, { message_id: newId("msg") });
  }
  #arrived(id: string, messages: Message[]): void {
    this.#outbox.arrived(messages);
    clearTimeout(this.#branchTimer);
    this.#branchTimer = setTimeout(() => void this.#fetchBranches(id), 200);
  }
  #branchTimer: ReturnType<typeof setTimeout> | undefined;
  async #fetchBranches(id: string): Promise<void> {
    if (this.#outbox.creating(id)) return;
    const page = await call<{ branches?: Record<string, string[]> }>("GET", `v1/sessions/${id}/messages?limit=200`).catch(() => null);
    if (page) this.#set({ branches: page.branches ?? {} });
  }
  #hint({ what, session_id }: { what: string; session_id?: string }): void {
    const running = new Set(what === "refetch" ? [] : this.#shown.running);
    if (what === "running" && session_id) running.add(session_id);
    if (what === "finished" && session_id) running.delete(session_id);
    this.#set({ running });
    this.#refetch();
  }
  #refetch(): void {
    this.#fetching ??= setTimeout(() => {
      this.#fetching = undefined;
      void call<Page<Session> & { running?: string[] }>("GET", "v1/sessions?limit=200").then(
        ({ data, running }) => this.#set({ sessions: data, running: new Set(running) }),
        () => undefined,
      );
    }, 100);
  }
  #set(changes: Partial<Shown>): void {
    this.#shown = { ...this.#shown, ...changes };
    for (const listener of this.#listeners) listener();
  }
}

export const legato = new Store();

export function useLegato(): Shown {
  return useSyncExternalStore(legato.subscribe, legato.read);
}
