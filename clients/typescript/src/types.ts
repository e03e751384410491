/** The objects of docs/protocol.md. Times are ISO 8601 in UTC; fields at their default may be left out. */
export type Status = "queued" | "in_progress" | "completed" | "failed" | "cancelled" | "incomplete";
export type Mode = "queue" | "reject" | "interrupt" | "rollback" | "steer";
export type Priority = "interactive" | "background";
export type Phase = "planning" | "executing" | "awaiting_approval";
export type Decision = "allow" | "deny" | "always";

export interface Session {
  id: string;
  owner: string;
  agent_id: string;
  agent_name: string;
  created_at: string;
  last_activity: string;
  parent_role?: string | null;
  model_id?: string | null;
  title?: string | null;
  title_source?: "person" | "model" | "date" | null;
  closed_at?: string | null;
  archived_at?: string | null;
  pinned?: boolean;
  keep?: boolean;
  memory?: boolean;
  context?: string | null;
  metadata?: Record<string, unknown>;
  read_only?: boolean;
  forked_from?: { session_id: string; message_id: string | null } | null;
  quarantined?: boolean;
}

export type Part =
  | { type: "text"; text: string }
  | { type: "reasoning"; text: string }
  | { type: "tool_call"; call_id: string; name: string; arguments?: string }
  | { type: "tool_result"; call_id: string; output: string; is_error?: boolean }
  | { type: "file"; file_id: string; name: string; media_type: string; size: number; tokens?: number };

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  cached_tokens: number;
  total_tokens: number;
  cost_usd: number | null;
  estimated: boolean;
}

export interface Fault {
  code: string;
  message: string;
}

export interface Message {
  id: string;
  session_id: string;
  turn_id: string;
  role: "user" | "assistant";
  status: Status;
  created_at: string;
  /** Left out where it is empty. */
  parts?: readonly Part[];
  message_type?: string;
  parent_id?: string | null;
  agent_id?: string | null;
  model_id?: string | null;
  client_message_id?: string | null;
  usage?: Usage | null;
  error?: Fault | null;
  pinned?: boolean;
}

export interface ContextInfo {
  messages: number;
  tokens: number;
  dropped: number;
  budget: number;
  memories?: number;
  summarised?: number;
  window?: number;
}

export interface Turn {
  id: string;
  session_id: string;
  message_id: string;
  agent_id: string;
  status: Status;
  created_at: string;
  kind?: "send" | "edit" | "continue" | "retry" | "welcome";
  mode?: Mode;
  priority?: Priority;
  rank?: number;
  answer_id?: string | null;
  source_turn_id?: string | null;
  model_id?: string | null;
  attempt?: number;
  phase?: Phase | null;
  detail?: string | null;
  context?: ContextInfo | null;
  started_at?: string | null;
  finished_at?: string | null;
  reason?: string | null;
  text?: string | null;
  usage?: Usage | null;
  error?: Fault | null;
}

export interface Approval {
  id: string;
  session_id: string;
  turn_id: string;
  question: string;
  status: "pending" | "allowed" | "denied" | "expired";
  created_at: string;
  expires_at: string;
  tool?: string | null;
  decided_at?: string | null;
}

/** How full the model's window is, in tokens. */
export interface Gauge {
  tokens: number;
  window: number;
}

/** A session at one instant. `messages`: the active branch, oldest first, then those that wait. */
export interface State {
  session: Session;
  messages: readonly Message[];
  turns: readonly Turn[];
  leaf_id: string | null;
  has_more: boolean;
  approvals: readonly Approval[];
  gauge: Gauge | null;
}

export interface Agent {
  id: string;
  name: string;
  role: string | null;
  parent_role: string | null;
  description: string;
  model_id: string | null;
  demo: boolean;
  available: boolean;
  default: boolean;
  welcomes: boolean;
  suggestions: string[];
}

/** Windows in tokens, prices in US dollars per million tokens. */
export interface Model {
  id: string;
  name: string;
  provider: string;
  context_window: number;
  max_output_tokens: number | null;
  cost_per_1m_input: number | null;
  cost_per_1m_output: number | null;
  cost_per_1m_cached: number | null;
  capabilities: string[];
}

export interface Page<T> {
  data: T[];
  has_more: boolean;
  next: string | null;
}
export interface SessionPage extends Page<Session> {
  running: string[];
}
/** `branches`: of each message that has siblings, their ids, itself among them, in the order of their creation. */
export interface MessagePage extends Page<Message> {
  leaf_id: string | null;
  branches: Record<string, string[]>;
}
export interface View {
  state: State;
  cursor: string;
}
export interface Sent {
  turn: Turn;
  cursor: string;
}
export interface Waiting {
  turn: Turn;
  message: Message | null;
}
export interface Summary {
  message_id: string;
  messages: number;
  text: string;
  created_at: string;
}
export interface Stats {
  session_id: string;
  message_count: number;
  active_count: number;
  turn_count: number;
  usage: Usage;
  age_s: number;
  last_activity: string;
}
export interface Prunable {
  data: Session[];
  count: number;
  dry_run: boolean;
}
/** `snippet` is HTML: escaped text with `<mark>`, and no other tag. */
export interface Hit {
  session: { id: string; title: string | null; agent_id: string; agent_name: string };
  message_id: string | null;
  role: "user" | "assistant" | null;
  created_at: string;
  score: number;
  snippet: string;
  active: boolean;
}
export interface SavedSearch {
  id: string;
  name: string;
  query: string;
  created_at: string;
}
export interface Memory {
  id: string;
  agent_id: string;
  kind: string;
  text: string;
  session_id: string;
  message_id: string;
  created_at: string;
  changed_at: string;
  edited: boolean;
}
export interface Grant {
  id: string;
  agent_id: string;
  tool: string;
}
export interface File {
  id: string;
  name: string;
  media_type: string;
  size: number;
  digest: string;
  tokens: number;
  created_at: string;
  session_id: string | null;
  message_id: string | null;
}
export type Group = "day" | "agent" | "model" | "session" | "kind";
export interface Sums {
  calls: number;
  prompt_tokens: number;
  completion_tokens: number;
  cached_tokens: number;
  total_tokens: number;
  cost_usd: number;
  unpriced: number;
  estimated: number;
}
export interface UsageRow extends Sums {
  day?: string;
  agent_id?: string;
  model_id?: string | null;
  session_id?: string;
  title?: string | null;
  kind?: string;
}
export interface UsageReport {
  from: string;
  to: string;
  group_by: Group[];
  data: UsageRow[];
  has_more: boolean;
  total: Sums;
}
export interface Spread {
  count: number;
  p50_s: number;
  p95_s: number;
  max_s: number;
}
/** Of the last hour, and of each of its minutes in which there was something. */
export interface Latency {
  total: Spread;
  minutes: { at: string; spread: Spread }[];
}
export interface Ends {
  total: Record<string, number>;
  minutes: { at: string; counts: Record<string, number> }[];
}
/** The last hour of the process that answered. */
export interface Diagnostics {
  started_at: string;
  now: string;
  streams: { sessions: number; lists: number };
  turns: { running: number; waiting: number };
  open: { at: string; sessions: number; lists: number; turns: number }[];
  stream_ends: Ends;
  turn_ends: Ends;
  first_token: Latency;
  commit: Latency;
  rescue: Latency;
}
export interface StreamEnd {
  at: string;
  what: "turn" | "session" | "list" | "client";
  code: string;
  reason?: string;
  session_id?: string;
  turn_id?: string;
}
export interface ClientEnd {
  code: ReasonCode;
  session_id: string | undefined;
  at: string;
}
export interface Imported {
  origin: string;
  id: string | null;
  title: string | null;
  messages: number;
}
export interface ImportReport {
  dry_run: boolean;
  sessions: number;
  messages: number;
  known: number;
  skipped_count: number;
  imported: Imported[];
  known_sessions: Imported[];
  skipped: { place: string; what: string; why: string }[];
}

/** What to fetch again to keep a list of sessions; `refetch`: everything. */
export interface Hint {
  what: "refetch" | "changed" | "running" | "finished" | "deleted";
  session_id?: string;
}

export interface EventData {
  token: { turn_id: string; message_id: string; part: number; kind: "text" | "reasoning" | "tool_arguments"; text: string };
  status_update: { turn_id: string; phase: Phase; detail?: string | null };
  usage: Usage & { turn_id: string; gauge?: Gauge | null };
  done: { turn_id: string; status: Status; reason: string; finished_at: string; error?: Fault | null; text?: string | null };
  message: { op: "added" | "changed" | "removed"; message_id: string; message?: Message | null; leaf?: boolean };
  turn: { turn: Turn };
  session: { session: Session };
  tool_call: { turn_id: string; message_id: string; part: number; call_id: string; name: string; arguments: string };
  tool_result: { turn_id: string; message_id: string; part: number; call_id: string; output: string; is_error?: boolean };
  approval: { turn_id: string; approval: Approval };
  snapshot: { state?: State | null; message?: Message | null };
  reset: { turn_id: string; message_id: string; part?: number };
  error: { turn_id: string; code: string; message: string };
  warning: { turn_id: string; code: string; message: string };
}
export type Event = { [Type in keyof EventData]: { type: Type; data: EventData[Type] } }[keyof EventData];

export type Connection = "connecting" | "live" | "lost" | "offline" | "closed" | "gone";
export type ReasonCode =
  | "client.stream.done"
  | "client.stream.user-abort"
  | "client.stream.reader-error"
  | "client.stream.view-remount";
