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

function dateGroups(sessions: readonly Session[], now: Date): { group: Group; sessions: Session[] }[] {
  const groups = new Map<Group, Session[]>();
  for (const session of sessions) {
    const group = groupOf(session, now);
    groups.set(group, [...(groups.get(group) ?? []), session]);
  }
  return ORDER.flatMap((group) => {
    const found = groups.get(group);
    return found ? [{ group, sessions: found }] : [];
  });
}

/** A line of the list: the name of a group, or a session. */
export type Line = { group: Group; session: null } | { group: Group; session: Session };

export function linesOf(sessions: readonly Session[], now: Date): Line[] {
  return dateGroups(sessions, now).flatMap(({ group, sessions: rows }) => [
    { group, session: null }, ...rows.map((session) => ({ group, session })),
  ]);
}
