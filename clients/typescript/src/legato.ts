import { LegatoError } from "./errors";
import { Follower } from "./follower";
import { newId } from "./ids";
import { LiveList } from "./live";
import { Requests, type LegatoOptions, type Query } from "./requests";
import type * as t from "./types";

type Filters = Query & { cursor?: string | null; limit?: number };
const IMPORT_MS = 15 * 60_000;
const LOOK_AGAIN_MS = 500;
const seg = encodeURIComponent;
const ses = (id: string, ...rest: string[]): string => ["v1/sessions", id, ...rest].map((part, at) => (at ? seg(part) : part)).join("/");

/** All of docs/protocol.md, typed. Every attempt of a send carries the same message id: it is accepted once. */
export class Legato {
  readonly #http: Requests;

  constructor(options: LegatoOptions = {}) {
    this.#http = new Requests(options);
  }

  // Agents and models
  agents = async (): Promise<t.Agent[]> => (await this.#get<{ data: t.Agent[] }>("v1/agents")).data;
  agent = (id: string): Promise<t.Agent> => this.#get(`v1/agents/${seg(id)}`);
  models = async (): Promise<t.Model[]> => (await this.#get<{ data: t.Model[] }>("v1/models")).data;
  model = (id: string): Promise<t.Model> => this.#get(`v1/models/${seg(id)}`);

  // Sessions
  sessions(filters: { status?: "active" | "closed" | "archived" | "pinned"; agentId?: string; context?: string; text?: string; cursor?: string | null; limit?: number } = {}): Promise<t.SessionPage> {
    const { agentId, ...rest } = filters;
    return this.#get("v1/sessions", { ...rest, agent_id: agentId });
  }
  async createSession(given: { agent_id?: string; model_id?: string | null; id?: string; title?: string; context?: string; metadata?: Record<string, unknown>; welcome?: boolean } = {}): Promise<t.Session> {
    const body = { ...given, id: given.id ?? newId("ses") };
    try {
      return await this.#http.call("POST", "v1/sessions", { body });
    } catch (error) {
      if (given.id !== undefined || !(error instanceof LegatoError) || error.code !== "session_exists") throw error;
      return (await this.view(body.id)).state.session; // an earlier attempt got through
    }
  }
  currentSession = (agentId?: string): Promise<t.Session> => this.#get("v1/sessions/current", { agent_id: agentId });
  view = (id: string, limit?: number): Promise<t.View> => this.#get(ses(id), { limit });
  updateSession = (id: string, changes: { title?: string | null; pinned?: boolean; archived?: boolean; keep?: boolean; memory?: boolean; metadata?: Record<string, unknown> }): Promise<t.Session> =>
    this.#http.call("PATCH", ses(id), { body: changes });
  deleteSession = (id: string): Promise<void> => this.#http.call("DELETE", ses(id));
  close = (id: string): Promise<t.Session> => this.#http.call("POST", ses(id, "close"));
  reopen = (id: string): Promise<t.Session> => this.#http.call("POST", ses(id, "reopen"));
  clear = (id: string): Promise<void> => this.#http.call("POST", ses(id, "clear"), { repeatable: false });
  stats = (id: string): Promise<t.Stats> => this.#get(ses(id, "stats"));
  prune = (options: { dry_run?: boolean; limit?: number } = {}): Promise<t.Prunable> => this.#http.call("POST", "v1/sessions/prune", { body: options });

  // Turns
  send(sessionId: string, text: string, options: { mode?: t.Mode; priority?: t.Priority; edits?: string; modelId?: string | null; messageId?: string; files?: readonly string[] } = {}): Promise<t.Sent> {
    const { mode, priority, edits, modelId, messageId, files } = options;
    const attached = files?.map((file_id) => ({ type: "file", file_id })) ?? [];
    const words = attached.length === 0 ? { text } : { parts: [...(text === "" ? [] : [{ type: "text", text }]), ...attached] };
    const body = { message_id: messageId ?? newId("msg"), ...words, mode, priority, edits, model_id: modelId };
    return this.#http.call("POST", ses(sessionId, "turns"), { body });
  }
  turn = (sessionId: string, turnId: string): Promise<t.Turn> => this.#get(ses(sessionId, "turns", turnId));
  queue = async (sessionId: string): Promise<t.Waiting[]> => (await this.#get<{ data: t.Waiting[] }>(ses(sessionId, "queue"))).data;
  cancel = (sessionId: string, turnId: string): Promise<t.Turn> => this.#http.call("POST", ses(sessionId, "turns", turnId, "cancel"));
  async withdraw(sessionId: string, turnId: string): Promise<t.Turn> {
    try {
      return await this.#http.call("DELETE", ses(sessionId, "turns", turnId));
    } catch (error) {
      if (!(error instanceof LegatoError) || error.code !== "turn_not_queued") throw error;
      const turn = await this.turn(sessionId, turnId);
      if (turn.reason === "withdrawn") return turn; // an earlier attempt got through
      throw error;
    }
  }
  /** `before`: the waiting turn before which it runs; null: it is the last. */
  amend = (sessionId: string, turnId: string, changes: { text?: string; before?: string | null }): Promise<t.Turn> =>
    this.#http.call("PATCH", ses(sessionId, "turns", turnId), { body: changes });
  continue_ = (sessionId: string, turnId: string, messageId = newId("msg")): Promise<t.Sent> =>
    this.#http.call("POST", ses(sessionId, "turns", turnId, "continue"), { body: { message_id: messageId } });
  /** `modelId`: of who answers now. */
  retry = (sessionId: string, turnId: string, messageId = newId("msg"), modelId?: string): Promise<t.Sent> =>
    this.#http.call("POST", ses(sessionId, "turns", turnId, "retry"), { body: { message_id: messageId, model_id: modelId } });

  // Messages and branches
  messagesPage = (sessionId: string, options: { cursor?: string | null; leaf?: string; limit?: number } = {}): Promise<t.MessagePage> => this.#get(ses(sessionId, "messages"), options);
  switchBranch = (sessionId: string, messageId: string): Promise<t.View> => this.#http.call("PUT", ses(sessionId, "leaf"), { body: { message_id: messageId } });
  /**
   * A new session that goes on from a message (the last finished one), with copies of what led to it.
   * May be repeated with the same `id`: a fork of this session that has it already is the answer.
   */
  async fork(sessionId: string, options: { messageId?: string; title?: string; id?: string } = {}): Promise<t.Session> {
    const id = options.id ?? newId("ses");
    const body = { id, message_id: options.messageId, title: options.title };
    const deadline = this.#http.deadline();
    for (;;) {
      try {
        return await this.#http.call("POST", ses(sessionId, "fork"), { body });
      } catch (error) {
        if (!(error instanceof LegatoError) || error.code !== "session_exists") throw error;
        // An earlier attempt has made it, or is about to; or it died on the way, and the server takes away what there was of it.
        const found = await this.#found(id);
        if (found?.forked_from?.session_id === sessionId) return found;
        if (found || this.#http.now() > deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
      }
    }
  }
  pin = (sessionId: string, messageId: string, pinned = true): Promise<t.Message> => this.#http.call("PATCH", ses(sessionId, "messages", messageId), { body: { pinned } });
  summary = (sessionId: string): Promise<t.Summary> => this.#get(ses(sessionId, "summary"));

  // Search
  search(q: string, options: { agentId?: string; status?: string; role?: "user" | "assistant"; sessionId?: string; after?: string; before?: string; limit?: number; cursor?: string | null } = {}): Promise<t.Page<t.Hit>> {
    const { agentId, sessionId, ...rest } = options;
    return this.#get("v1/search", { q, ...rest, agent_id: agentId, session_id: sessionId });
  }
  savedSearches = async (): Promise<t.SavedSearch[]> => (await this.#get<{ data: t.SavedSearch[] }>("v1/searches")).data;
  saveSearch = (name: string, query: string): Promise<t.SavedSearch> => this.#http.call("POST", "v1/searches", { body: { name, query } });
  deleteSearch = (id: string): Promise<void> => this.#http.call("DELETE", `v1/searches/${seg(id)}`);

  // Memory
  memories = (filters: Filters & { agent_id?: string; kind?: string; session_id?: string } = {}): Promise<t.Page<t.Memory>> => this.#get("v1/memories", filters);
  editMemory = (id: string, text: string): Promise<t.Memory> => this.#http.call("PATCH", `v1/memories/${seg(id)}`, { body: { text } });
  forgetMemory = (id: string): Promise<void> => this.#http.call("DELETE", `v1/memories/${seg(id)}`);
  forgetMemories = (agentId?: string): Promise<void> => this.#http.call("DELETE", "v1/memories", { query: { agent_id: agentId } });
  memoryEnabled = async (): Promise<boolean> => (await this.#get<{ enabled: boolean }>("v1/memories/settings")).enabled;
  switchMemory = async (enabled: boolean): Promise<void> => void (await this.#http.call("PUT", "v1/memories/settings", { body: { enabled } }));

  // Approvals
  approvals = async (): Promise<t.Approval[]> => (await this.#get<{ data: t.Approval[] }>("v1/approvals")).data;
  approval = (id: string): Promise<t.Approval> => this.#get(`v1/approvals/${seg(id)}`);
  decide = (id: string, decision: t.Decision): Promise<t.Approval> => this.#http.call("POST", `v1/approvals/${seg(id)}`, { body: { decision } });
  grants = async (): Promise<t.Grant[]> => (await this.#get<{ data: t.Grant[] }>("v1/grants")).data;
  revoke = (id: string): Promise<void> => this.#http.call("DELETE", `v1/grants/${seg(id)}`);

  // Usage, files
  usage(options: { from?: string; to?: string; groupBy?: readonly t.Group[]; limit?: number } = {}): Promise<t.UsageReport> {
    const { groupBy, ...rest } = options;
    return this.#get("v1/usage", { ...rest, group_by: groupBy?.join(",") });
  }
  exportUrl = (sessionId: string | null, format: "json" | "jsonl" | "markdown" | "html" = sessionId === null ? "jsonl" : "json"): string =>
    this.#http.url(sessionId === null ? "v1/export" : ses(sessionId, "export"), { format });
  /** `onSent` is told how many bytes have gone, in a browser. */
  importFile(file: Blob, options: { format?: string; agentId?: string; dryRun?: boolean; onSent?: (bytes: number) => void } = {}): Promise<t.ImportReport> {
    const query = { format: options.format, agent_id: options.agentId, dry_run: options.dryRun };
    return this.#http.call("POST", "v1/import", { raw: file, query, onSent: options.onSent, repeatable: false, timeoutMs: IMPORT_MS });
  }
  upload = (file: Blob, name: string, onSent?: (bytes: number) => void): Promise<t.File> =>
    this.#http.call("POST", "v1/files", { raw: file, query: { name }, onSent, repeatable: false, timeoutMs: IMPORT_MS });
  file = (id: string): Promise<t.File> => this.#get(`v1/files/${seg(id)}`);
  fileUrl = (id: string): string => this.#http.url(`v1/files/${seg(id)}/content`);
  deleteFile = (id: string): Promise<void> => this.#http.call("DELETE", `v1/files/${seg(id)}`);

  // Diagnostics
  diagnostics = (): Promise<t.Diagnostics> => this.#get("v1/diagnostics");
  streamEnds = async (limit?: number): Promise<t.StreamEnd[]> => (await this.#get<{ data: t.StreamEnd[] }>("v1/diagnostics/streams", { limit })).data;
  /** At most 100; goes on when the page is left. */
  reportStreams = (ends: readonly t.ClientEnd[]): Promise<void> => this.#http.call("POST", "v1/diagnostics/streams", { body: { ends }, repeatable: false, keepalive: true });

  // Streams
  /** The session, live, until `close`. */
  follow = (sessionId: string): Follower => new Follower(this.#http.of(sessionId), sessionId);
  live = (): LiveList => new LiveList(this.#http);

  /** Null where there is none. */
  async #found(id: string): Promise<t.Session | null> {
    try {
      return (await this.view(id)).state.session;
    } catch (error) {
      if (error instanceof LegatoError && error.code === "session_not_found") return null;
      throw error;
    }
  }

  #get<T>(path: string, query: Query = {}): Promise<T> {
    return this.#http.call<T>("GET", path, { query });
  }
}
