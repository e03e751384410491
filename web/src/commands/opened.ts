import type { Session } from "legato-client";
import { Store } from "../state/store";

/** Which dialog stands over the page; null: none. */
export type Opened =
  | { dialog: "palette"; only?: "chats" }
  | { dialog: "keys" }
  | { dialog: "templates" }
  | { dialog: "rename" | "delete" | "clear"; session: Session };

export const opened = new Store<Opened | null>(null);

/** The list of chats where it lies over the page (a phone) instead of beside it. */
export const drawer = new Store(false);
