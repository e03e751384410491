import { Kept } from "./kept";
import { route } from "./route";

const isIds = (found: unknown): boolean => Array.isArray(found) && found.every((id) => typeof id === "string");

/** Sessions whose answer has ended while nobody looked at them. */
export const unread = new Kept<readonly string[]>("unread", [], isIds);
/** Sessions whose answer was running when this browser last heard of it, so that what ended in its absence is noticed. */
const wereRunning = new Kept<readonly string[]>("running", [], isIds);

function isLookedAt(id: string): boolean {
  const shown = route.read();
  return shown.page === "chat" && shown.sessionId === id && !document.hidden;
}

export function noteFinished(ids: readonly string[]): void {
  const news = ids.filter((id) => !unread.read().includes(id) && !isLookedAt(id));
  if (news.length > 0) unread.put([...unread.read(), ...news]);
}

/** The sessions whose answers run now: those that did before have ended. */
export function noteRunning(running: ReadonlySet<string>): void {
  const before = wereRunning.read();
  noteFinished(before.filter((id) => !running.has(id)));
  if (before.length !== running.size || before.some((id) => !running.has(id))) wereRunning.put([...running]);
}

export function noteDeleted(id: string): void {
  if (unread.read().includes(id)) unread.put(unread.read().filter((each) => each !== id));
}

/** Another tab may have marked what is looked at in this one. */
function unmarkLookedAt(): void {
  const left = unread.read().filter((id) => !isLookedAt(id));
  if (left.length < unread.read().length) unread.put(left);
}
unread.subscribe(unmarkLookedAt);
route.subscribe(unmarkLookedAt);
document.addEventListener("visibilitychange", unmarkLookedAt);
unmarkLookedAt();
