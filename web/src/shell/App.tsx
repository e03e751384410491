import { lazy, Suspense, useEffect, useRef } from "react";
import { flushSync } from "react-dom";
import { Dialogs } from "../commands/Dialogs";
import { toggleSidebar, write } from "../commands/navigation";
import { drawer, opened } from "../commands/opened";
import { useKeys } from "../commands/useKeys";
import { focusBack } from "../controls/focusBack";
import { Conversation } from "../conversation/Conversation";
import { NewConversation } from "../conversation/NewConversation";
import { told, useWords } from "../i18n";
import { Sidebar } from "../sidebar/Sidebar";
import { Transfer } from "../sidebar/Transfer";
import { focusMode } from "../state/choices";
import { conversations } from "../state/conversations";
import { notice, problem } from "../state/problem";
import { route, useRoute, type PageName } from "../state/route";
import { useStore, type Store } from "../state/store";
import { Rail } from "./Rail";
import { Unsent } from "./Unsent";
import { usePhone } from "./usePhone";
import "./shell.css";

const PAGES = {
  inbox: lazy(() => import("../pages/inbox/Inbox")),
  memory: lazy(() => import("../pages/memory/Memory")),
  settings: lazy(() => import("../pages/settings/Settings")),
  diagnostics: lazy(() => import("../pages/diagnostics/Diagnostics")),
} satisfies Record<PageName, unknown>;

/** `?surface`: one conversation and nothing around it, for a drawer of a host's own page. */
const isSurface = new URLSearchParams(location.search).has("surface");

export function App() {
  const words = useWords();
  const shown = useRoute();
  const current = shown.page === "chat" ? shown.sessionId : null;
  const onPhone = usePhone();
  const isFocused = useStore(focusMode);
  const isOver = useStore(drawer) && onPhone;
  const withSidebar = !isSurface && (onPhone ? isOver : !isFocused);
  const withRail = !isSurface && !onPhone && !withSidebar;

  useEffect(() => conversations.look(current), [current]);
  useEffect(() => route.subscribe(() => drawer.put(false)), []);
  useDrawersFocus(isOver);
  useListsFocus(withSidebar);
  useKeys();

  const Page = shown.page === "chat" ? null : PAGES[shown.page];
  const menu = toggleSidebar;
  return (
    <div className={`page ${withSidebar ? "with-sidebar" : withRail ? "with-rail" : ""} ${isSurface ? "surface" : ""}`}>
      <button type="button" className="skip" onClick={write}>{words("skip")}</button>
      {isOver && <button type="button" className="veil" aria-label={words("close")} onClick={menu} tabIndex={-1} />}
      {withSidebar && <Sidebar current={current} onHelp={() => opened.put({ dialog: "keys" })} />}
      {withRail && <Rail />}
      <main className="main">
        <Told from={problem} className="problem" role="alert" />
        <Told from={notice} className="notice" role="status" />
        <Unsent current={current} />
        {shown.page !== "chat" && <title>{`${words(shown.page)} · Legato`}</title>}
        {Page ? (
          <Suspense fallback={<p className="opening">{words("loading")}</p>}><Page onMenu={menu} /></Suspense>
        ) : current === null ? (
          <NewConversation onMenu={menu} />
        ) : (
          <Conversation key={current} id={current} onMenu={menu} />
        )}
      </main>
      <Dialogs />
      <Transfer />
    </div>
  );
}

/** What went wrong, or was done: until it is put away, or something else is asked for. */
function Told({ from, className, role }: { from: Store<string>; className: string; role: "alert" | "status" }) {
  const words = useWords();
  const text = useStore(from);
  return (
    <div role={role} className="told">
      {text && <p className={className}><span dir="auto">{told(words, text)}</span> <button type="button" className="quiet" onClick={() => { flushSync(() => from.put("")); focusBack(null); }}>{words("close")}</button></p>}
    </div>
  );
}

/** The list over the page takes the focus; where it was opened, the focus goes back. */
function useDrawersFocus(isOver: boolean): void {
  useEffect(() => {
    if (!isOver) return;
    document.querySelector<HTMLElement>(".sidebar a")?.focus();
    return () => {
      if (document.activeElement === document.body) document.querySelector<HTMLElement>(".menu-button")?.focus();
    };
  }, [isOver]);
}

/** Where the list comes or goes, and what had the focus with it, what stands there now has it. */
function useListsFocus(isShown: boolean): void {
  const before = useRef(isShown);
  useEffect(() => {
    if (before.current === isShown) return;
    before.current = isShown;
    const { activeElement: focused } = document;
    if (focused === document.body || !focused?.checkVisibility()) document.querySelector<HTMLElement>(".sidebar a, .rail button")?.focus();
  }, [isShown]);
}
