import { focusMode } from "../state/choices";
import { goTo, route } from "../state/route";
import { sessions } from "../state/sessions";
import { linesOf } from "../sidebar/dateGroups";
import { focusSearch } from "../sidebar/search";
import { isPhone } from "../shell/usePhone";
import { drawer } from "./opened";

/** Does something with what is on the page once it is drawn. */
export function afterDrawing(doing: () => void): void {
  requestAnimationFrame(() => requestAnimationFrame(doing));
}

export function toggleSidebar(): void {
  if (isPhone()) drawer.put(!drawer.read());
  else focusMode.put(!focusMode.read());
}

export function openSearch(): void {
  if (isPhone()) drawer.put(true);
  else focusMode.put(false);
  afterDrawing(focusSearch);
}

/** Where one writes: on this page, or in a new chat. */
export function write(): void {
  if (!document.getElementById("text")) goTo(null);
  afterDrawing(() => document.getElementById("text")?.focus());
}

/** Opens a list of the composer's, or its choice of files. */
export function press(id: string): void {
  if (!document.getElementById(id)) goTo(null);
  afterDrawing(() => document.getElementById(id)?.click());
}

/** The chat above or below, in the order of the list. */
export function step(by: 1 | -1): void {
  const listed = (sessions.read().listed ?? []).filter((session) => !session.archived_at);
  const ids = linesOf(listed, new Date()).flatMap(({ session }) => (session ? [session.id] : []));
  const where = route.read();
  const at = ids.indexOf((where.page === "chat" && where.sessionId) || "");
  const next = at < 0 ? ids[by > 0 ? 0 : ids.length - 1] : ids[at + by];
  if (next !== undefined) goTo(next);
}
