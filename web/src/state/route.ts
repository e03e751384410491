import { useStore, Store } from "./store";

export type PageName = "inbox" | "memory" | "settings" | "diagnostics";
/** `null`: a conversation that is still to begin. */
export type Route = { page: "chat"; sessionId: string | null; messageId: string | null } | { page: PageName };

const PAGES: ReadonlySet<string> = new Set(["inbox", "memory", "settings", "diagnostics"]);

/** `#ses_…`, `#ses_…/msg_…` (a message to go to), `#memory` and the like; all else is a new conversation. */
export function routeOf(hash: string): Route {
  const name = hash.replace(/^#/, "");
  if (PAGES.has(name)) return { page: name as PageName };
  const [, sessionId, messageId] = /^(ses_\w{26})(?:\/(msg_\w{26}))?$/.exec(name) ?? [];
  return { page: "chat", sessionId: sessionId ?? null, messageId: messageId ?? null };
}

export const route = new Store<Route>(routeOf(location.hash));
let followed = location.hash;
addEventListener("hashchange", follow);

function follow(): void {
  if (location.hash === followed) return;
  followed = location.hash;
  route.put(routeOf(followed));
}
/** At once: the browser tells of the change in a task of its own, and the next key may come before that. */
function go(hash: string): void {
  location.hash = hash;
  follow();
}

export function goTo(sessionId: string | null, messageId?: string): void {
  go(sessionId === null ? "" : messageId ? `${sessionId}/${messageId}` : sessionId);
}
export function goToPage(page: PageName): void {
  go(page);
}

/** Goes to what is being made, unless the person goes elsewhere meanwhile. */
export async function goWhenMade(making: Promise<{ id: string } | undefined>): Promise<void> {
  const from = route.read();
  const made = await making;
  if (made && route.read() === from) goTo(made.id);
}

/** The conversation that is looked at. */
export function shownSession(): string | null {
  const shown = route.read();
  return shown.page === "chat" ? shown.sessionId : null;
}

export const useRoute = (): Route => useStore(route);
