import { createContext, useContext } from "react";
import type { Shown } from "../state/conversations";

/** What the messages of a conversation know of it. */
export const ConversationContext = createContext<Shown | null>(null);

export function useConversation(): Shown {
  const shown = useContext(ConversationContext);
  if (!shown) throw new Error("a message outside of its conversation");
  return shown;
}
