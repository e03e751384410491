import { useCallback, useEffect, useState, useSyncExternalStore } from "react";
import { useWords } from "../i18n";
import { legato, useLegato } from "../state/legato";
import { Conversation } from "./Conversation";
import { NewConversation } from "./NewConversation";
import { Shortcuts } from "./Shortcuts";
import { Sidebar } from "./Sidebar";

function subscribe(listener: () => void): () => void {
  addEventListener("hashchange", listener);
  return () => removeEventListener("hashchange", listener);
}
const address = (): string => (/^#[\w-]+$/.test(location.hash) ? location.hash.slice(1) : "");
const isPhone = (): boolean => matchMedia("(max-width: 46rem)").matches;

export function App() {
  const words = useWords();
  const current = useSyncExternalStore(subscribe, address);
  const { problem } = useLegato();
  const [sidebar, setSidebar] = useState(() => !isPhone());
  const [help, setHelp] = useState(false);
  const open = useCallback((id: string) => {
    location.hash = id;
    if (isPhone()) setSidebar(false);
  }, []);

  useEffect(() => {
    if (current) legato.look(current);
  }, [current]);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLElement && /^(TEXTAREA|INPUT|SELECT)$/.test(event.target.tagName);
      const command = event.ctrlKey || event.metaKey;
      if (event.key === "?" && !typing) setHelp(true);
      else if (command && event.shiftKey && event.key.toLowerCase() === "o") open("");
      else if (command && event.key.toLowerCase() === "k") {
        setSidebar(true);
        setTimeout(() => document.getElementById("search")?.focus());
      } else if (command && event.key === "b") setSidebar((shown) => !shown);
      else if (event.key === "/" && !typing) document.getElementById("text")?.focus();
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [open]);

  const menu = () => setSidebar((shown) => !shown);
  return (
    <div className={`page ${sidebar ? "with-sidebar" : ""}`}>
      {sidebar && <button type="button" className="veil" aria-label={words("close")} onClick={menu} tabIndex={-1} />}
      {sidebar && <Sidebar current={current} onOpen={open} onHelp={() => setHelp(true)} />}
      <main className="main">
        {problem && (
          <p className="problem" role="alert">
            {problem} <button type="button" className="quiet" onClick={() => legato.forget()}>{words("close")}</button>
          </p>
        )}
        {current ? <Conversation key={current} id={current} onMenu={menu} /> : <NewConversation onMenu={menu} onOpen={open} />}
      </main>
      {help && <Shortcuts onClose={() => setHelp(false)} />}
    </div>
  );
}
