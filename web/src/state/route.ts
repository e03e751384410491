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
addEventListener("hashchange", () => route.put(routeOf(location.hash)));

export function goTo(sessionId: string | null, messageId?: string): void {
  location.hash = sessionId === null ? "" : messageId ? `${sessionId}/${messageId}` : sessionId;
}
export function goToPage(page: PageName): void {
  location.hash = page;
}

export const useRoute = (): Route => useStore(route);
