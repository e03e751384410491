import type { Message, Session, Turn } from "legato-client";
import { conversations, openTurns, turnOf } from "../state/conversations";
import { route } from "../state/route";
import { sessions } from "../state/sessions";

/** Where the person is, and what can be done there. */
export interface Situation {
  /** Null: a new chat, or a page. */
  session: Session | null;
  open: readonly Turn[];
  /** What was said last, by whomever. */
  last: Message | undefined;
  lastTurn: Turn | undefined;
  messages: readonly Message[];
  /** Something can be sent, changed or asked again now. */
  mayAct: boolean;
}

export function situation(): Situation {
  const where = route.read();
  const id = where.page === "chat" ? where.sessionId : null;
  const shown = id === null ? null : conversations.get(id).read();
  const state = shown?.state ?? null;
  const session = state?.session ?? sessions.read().listed?.find((each) => each.id === id) ?? null;
  const open = openTurns(state);
  const messages = shown?.messages ?? [];
  const last = messages.at(-1);
  return {
    session,
    open,
    last,
    lastTurn: last && turnOf(last, state),
    messages,
    mayAct: state !== null && open.length === 0 && !state.session.read_only && !state.session.quarantined,
  };
}
