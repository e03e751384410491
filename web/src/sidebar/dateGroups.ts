import type { Session } from "legato-client";

export type Group = "pinned" | "today" | "yesterday" | "week" | "older";
const ORDER: readonly Group[] = ["pinned", "today", "yesterday", "week", "older"];

/** The days are those of the person's calendar. */
export function groupOf(session: Pick<Session, "last_activity" | "pinned">, now: Date): Group {
  if (session.pinned) return "pinned";
  const midnight = (days: number) => new Date(now.getFullYear(), now.getMonth(), now.getDate() - days);
  const then = new Date(session.last_activity);
  if (then >= midnight(0)) return "today";
  if (then >= midnight(1)) return "yesterday";
  return then >= midnight(7) ? "week" : "older";
}

export function dateGroups(sessions: readonly Session[], now: Date): { group: Group; sessions: Session[] }[] {
  return ORDER.map((group) => ({ group, sessions: sessions.filter((session) => groupOf(session, now) === group) })).filter(
    (each) => each.sessions.length > 0,
  );
}
