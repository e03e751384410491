import { useEffect } from "react";
import { useWords } from "../i18n";
import { possible } from "./commands";
import { isPressed, writesText } from "./keys";
import { isPhone } from "../shell/usePhone";
import { drawer } from "./opened";
import { situation } from "./situation";

const isWriting = (target: EventTarget | null): boolean => target instanceof HTMLElement && /^(TEXTAREA|INPUT|SELECT)$/.test(target.tagName);

/** The keys of all commands, wherever the focus is; a dialog has the keyboard to itself, and Escape first closes what lies over the page. */
export function useKeys(): void {
  const words = useWords();
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.isComposing || event.keyCode === 229 || document.querySelector("dialog[open]")) return;
      if (event.key === "Escape" && drawer.read() && isPhone()) {
        event.preventDefault();
        drawer.put(false);
        return;
      }
      const now = situation();
      const isMeant = (keys: string) => isPressed(keys, event) && !(writesText(keys) && isWriting(event.target));
      // The arrow that edits is the composer's own.
      const command = possible(now).find(({ id, keys }) => id !== "edit" && keys !== undefined && isMeant(keys));
      if (!command) return;
      event.preventDefault();
      command.run(now, words);
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [words]);
}
