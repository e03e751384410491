import type { Session } from "legato-client";

/** Without the Z, so that 10:00:00 comes before 10:00:00.5 as text. */
const activityOf = (session: Session): string => session.last_activity.replace("Z", "");

function byActivity(a: Session, b: Session): number {
  const [left, right] = [activityOf(a), activityOf(b)];
  if (left !== right) return left < right ? 1 : -1;
  return a.id < b.id ? 1 : -1;
}

/** These sessions with what is told now of some of them, or of others: each once, the newest activity first. */
export function withSessions(known: readonly Session[], told: readonly Session[]): readonly Session[] {
  if (told.length === 0) return known;
  const all = new Map(known.map((session) => [session.id, session]));
  for (const session of told) all.set(session.id, session);
  return [...all.values()].sort(byActivity);
}

export function withoutSession(known: readonly Session[], id: string): readonly Session[] {
  return known.some((session) => session.id === id) ? known.filter((session) => session.id !== id) : known;
}
