import { lazy, Suspense, useEffect, useState } from "react";
import { Conversation } from "../conversation/Conversation";
import { NewConversation } from "../conversation/NewConversation";
import { useWords } from "../i18n";
import { Sidebar } from "../sidebar/Sidebar";
import { Transfer } from "../sidebar/Transfer";
import { conversations } from "../state/conversations";
import { problem } from "../state/problem";
import { goTo, route, useRoute, type PageName } from "../state/route";
import { useStore } from "../state/store";
import { Shortcuts } from "./Shortcuts";
import "./shell.css";

const PAGES = {
  inbox: lazy(() => import("../pages/inbox/Inbox")),
  memory: lazy(() => import("../pages/memory/Memory")),
  settings: lazy(() => import("../pages/settings/Settings")),
  diagnostics: lazy(() => import("../pages/diagnostics/Diagnostics")),
} satisfies Record<PageName, unknown>;

const isPhone = (): boolean => matchMedia("(max-width: 46rem)").matches;

export function App() {
  const words = useWords();
  const shown = useRoute();
  const current = shown.page === "chat" ? shown.sessionId : null;
  const [sidebar, setSidebar] = useState(() => !isPhone());
  const [help, setHelp] = useState(false);
  const menu = () => setSidebar((shown) => !shown);

  useEffect(() => conversations.look(current), [current]);
  useEffect(() => route.subscribe(() => isPhone() && setSidebar(false)), []);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLElement && /^(TEXTAREA|INPUT|SELECT)$/.test(event.target.tagName);
      const command = event.ctrlKey || event.metaKey;
      if (event.key === "?" && !typing) setHelp(true);
      else if (command && event.shiftKey && event.key.toLowerCase() === "o") goTo(null);
      else if (command && event.key === "b") setSidebar((shown) => !shown);
      else if (event.key === "/" && !typing) document.getElementById("text")?.focus();
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);

  const Page = shown.page === "chat" ? null : PAGES[shown.page];
  return (
    <div className={`page ${sidebar ? "with-sidebar" : ""}`}>
      {sidebar && <button type="button" className="veil" aria-label={words("close")} onClick={menu} tabIndex={-1} />}
      {sidebar && <Sidebar current={current} onHelp={() => setHelp(true)} />}
      <main className="main">
        <Problem />
        {Page ? (
          <Suspense fallback={<p className="opening">{words("loading")}</p>}><Page onMenu={menu} /></Suspense>
        ) : current === null ? (
          <NewConversation onMenu={menu} />
        ) : (
          <Conversation key={current} id={current} onMenu={menu} />
        )}
      </main>
      <Transfer />
      {help && <Shortcuts onClose={() => setHelp(false)} />}
    </div>
  );
}

function Problem() {
  const words = useWords();
  const text = useStore(problem);
  if (!text) return null;
  return (
    <p className="problem" role="alert">
      {text} <button type="button" className="quiet" onClick={() => problem.put("")}>{words("close")}</button>
    </p>
  );
}
