/** The objects of docs/protocol.md. Fields at their default may be left out. */
export type Status = "queued" | "in_progress" | "completed" | "failed" | "cancelled" | "incomplete";
export type Mode = "queue" | "reject" | "interrupt" | "rollback" | "steer";

export interface Session {
  id: string;
  agent_id: string;
  agent_name: string;
  parent_role?: string | null;
  model_id?: string | null;
  title?: string | null;
  created_at: string;
  last_activity: string;
  closed_at?: string | null;
  archived_at?: string | null;
  pinned?: boolean;
  read_only?: boolean;
  quarantined?: boolean;
  forked_from?: { session_id: string; message_id: string } | null;
}

export type Part =
  | { type: "text"; text: string }
  | { type: "reasoning"; text: string }
  | { type: "tool_call"; call_id: string; name: string; arguments: string }
  | { type: "tool_result"; call_id: string; output: string; is_error?: boolean };

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  cost_usd?: number | null;
  estimated?: boolean;
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
  parts: Part[];
  message_type?: string;
  parent_id?: string | null;
  client_message_id?: string | null;
  model_id?: string | null;
  usage?: Usage | null;
  error?: Fault | null;
  pinned?: boolean;
}

export interface Gauge {
  tokens: number;
  window: number;
}

export interface Turn {
  id: string;
  session_id: string;
  message_id: string;
  answer_id?: string | null;
  status: Status;
  phase?: "planning" | "executing" | "awaiting_approval" | null;
  detail?: string | null;
  kind?: "send" | "edit" | "continue" | "retry" | "welcome";
  rank?: number;
  reason?: string | null;
  text?: string | null;
  usage?: Usage | null;
  error?: Fault | null;
  context?: { tokens?: number; window?: number } | null;
}

export interface Approval {
  id: string;
  session_id: string;
  turn_id: string;
  question: string;
  tool?: string | null;
  status: "pending" | "allowed" | "denied" | "expired";
  created_at: string;
  expires_at?: string | null;
}

export interface Notice {
  turn_id: string;
  code: string;
  text: string;
}

/** What a follower shows: the active branch, then what waits. */
export interface State {
  session: Session;
  messages: readonly Message[];
  waiting: readonly Message[];
  turns: readonly Turn[];
  approvals: readonly Approval[];
  notices: readonly Notice[];
  leaf_id: string | null;
  has_more: boolean;
  gauge: Gauge | null;
}

export interface Agent {
  id: string;
  name: string;
  role?: string;
  description?: string;
  model_id?: string | null;
  demo?: boolean;
  available?: boolean;
  default?: boolean;
  suggestions?: string[];
}

export interface Model {
  id: string;
  name: string;
  provider: string;
  context_window?: number | null;
  cost_per_1m_input?: number | null;
  cost_per_1m_output?: number | null;
}

export interface Page<T> {
  data: T[];
  has_more: boolean;
  next: string | null;
}

export type Connection = "connecting" | "live" | "lost" | "offline" | "closed" | "gone";
export type ReasonCode =
  | "client.stream.done"
  | "client.stream.user-abort"
  | "client.stream.reader-error"
  | "client.stream.view-remount";

export interface FollowedState {
  state: State | null;
  connection: Connection;
  retryAt?: number;
}
