import type { Session } from "legato-client";
import { useEffect, useState } from "react";
import { client } from "../state/client";
import { sessions } from "../state/sessions";
import { useStore } from "../state/store";
import { ranked } from "./fuzzy";

const ASK_AFTER_MS = 200;
const NONE: readonly Session[] = [];

/** The chats that answer to what was typed: at once those of the list, then those that the server knows besides. Null asks for none. */
export function useChats(typed: string | null, most: number): readonly Session[] {
  const listed = useStore(sessions).listed ?? NONE;
  const [told, setTold] = useState(NONE);
  const text = typed?.trim() ?? "";
  useEffect(() => {
    if (text.length < 2) return;
    let wanted = true;
    const timer = setTimeout(() => {
      // Without a server the list has to do.
      void client.sessions({ text, limit: most }).then((page) => wanted && setTold(page.data), () => undefined);
    }, ASK_AFTER_MS);
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [text, most]);
  if (typed === null) return NONE;
  const near = ranked(text, listed, (session) => session.title ?? "").slice(0, most);
  const others = text.length < 2 ? NONE : told.filter(({ id, title }) => title?.toLowerCase().includes(text.toLowerCase()) && !near.some((each) => each.id === id));
  return [...near, ...others].slice(0, most);
}
