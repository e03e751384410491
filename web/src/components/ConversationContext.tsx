import type { State } from "legato-client";
import { createContext } from "react";

/** What the messages of a conversation know of it. */
export const ConversationContext = createContext<{ state: State | null; busy: boolean }>({ state: null, busy: false });
