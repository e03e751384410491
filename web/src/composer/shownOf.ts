import { conversations, type Shown } from "../state/conversations";
import { Store } from "../state/store";

const NOTHING_YET = new Store<Pick<Shown, "state" | "messages">>({ state: null, messages: [] });

/** What is known of a conversation; of one that is still to begin, nothing. */
export const shownOf = (sessionId: string | null): Pick<Store<Pick<Shown, "state" | "messages">>, "read" | "subscribe"> =>
  sessionId === null ? NOTHING_YET : conversations.get(sessionId);
