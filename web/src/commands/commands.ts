import { speak, type Say, type Word } from "../i18n";
import { models } from "../state/catalog";
import { client } from "../state/client";
import { focusMode } from "../state/choices";
import { fork, goOn, stop } from "../state/conversations";
import { act } from "../state/problem";
import { openTransfer } from "../sidebar/transferOpen";
import { goTo, goToPage } from "../state/route";
import { sessions } from "../state/sessions";
import { theme } from "../state/theme";
import { copyLast, download, editLast, isLastOwn } from "./actions";
import type { Keys } from "./keys";
import { isPhone } from "../shell/usePhone";
import { openSearch, press, step, toggleSidebar, write } from "./navigation";
import { opened } from "./opened";
import type { Situation } from "./situation";

export type Group = "groupGo" | "groupAnswer" | "groupChat" | "groupWrite" | "groupLook";
export const GROUPS: readonly Group[] = ["groupWrite", "groupAnswer", "groupChat", "groupGo", "groupLook"];

/** One thing that a person can do: the palette, the slash commands, the keys and their map all come from here. */
export interface Command {
  id: string;
  group: Group;
  /** Its name. */
  says: Word;
  keys?: Keys;
  /** As it is typed after a slash. Agents have commands of their own: what is none of these goes to them. */
  slash?: string;
  /** Whether it is left out of the palette, where it makes no sense. */
  isKeyOnly?: boolean;
  isPossible?: (now: Situation) => boolean;
  run: (now: Situation, words: Say) => void;
}

const inChat = ({ session }: Situation): boolean => session !== null;
const ENDED_EARLY = ["cancelled", "failed", "incomplete"];

export const COMMANDS: readonly Command[] = [
  { id: "palette", group: "groupGo", says: "palette", keys: "Mod+K", isKeyOnly: true, run: () => opened.put({ dialog: "palette" }) },
  { id: "new", group: "groupGo", says: "newChat", keys: "Mod+Shift+O", slash: "new", run: () => goTo(null) },
  { id: "chat", group: "groupGo", says: "goToChat", slash: "chat", run: () => opened.put({ dialog: "palette", only: "chats" }) },
  { id: "search", group: "groupGo", says: "search", slash: "search", run: openSearch },
  { id: "previousChat", group: "groupGo", says: "previousChat", keys: "Alt+ArrowUp", run: () => step(-1) },
  { id: "nextChat", group: "groupGo", says: "nextChat", keys: "Alt+ArrowDown", run: () => step(1) },
  { id: "inbox", group: "groupGo", says: "inbox", slash: "inbox", run: () => goToPage("inbox") },
  { id: "memory", group: "groupGo", says: "memory", slash: "memory", run: () => goToPage("memory") },
  { id: "settings", group: "groupGo", says: "settings", slash: "settings", run: () => goToPage("settings") },
  { id: "diagnostics", group: "groupGo", says: "diagnostics", slash: "diagnostics", run: () => goToPage("diagnostics") },

  { id: "write", group: "groupWrite", says: "keyFocus", keys: "/", run: write },
  { id: "attach", group: "groupWrite", says: "attach", slash: "attach", run: () => press("attach") },
  { id: "agent", group: "groupWrite", says: "chooseAgent", slash: "agent", run: () => press("pick-agent") },
  {
    id: "model", group: "groupWrite", says: "chooseModel", slash: "model",
    isPossible: () => (models.read()?.length ?? 0) > 0, run: () => press("pick-model"),
  },
  { id: "templates", group: "groupWrite", says: "templates", slash: "templates", run: () => opened.put({ dialog: "templates" }) },

  { id: "stop", group: "groupAnswer", says: "keyStop", keys: "Escape", slash: "stop", isPossible: ({ open }) => open.length > 0, run: ({ session }) => session && void stop(session.id) },
  {
    id: "continue", group: "groupAnswer", says: "continueAnswer", slash: "continue",
    isPossible: ({ mayAct, last, lastTurn }) => mayAct && lastTurn !== undefined && last?.role === "assistant" && ENDED_EARLY.includes(last.status),
    run: ({ session, lastTurn }) => void (session && lastTurn && goOn(session.id, lastTurn.id, "continue_")),
  },
  {
    id: "regenerate", group: "groupAnswer", says: "regenerateAnswer", slash: "regenerate",
    isPossible: ({ mayAct, lastTurn }) => mayAct && lastTurn !== undefined,
    run: ({ session, lastTurn }) => void (session && lastTurn && goOn(session.id, lastTurn.id, "retry")),
  },
  {
    id: "edit", group: "groupAnswer", says: "editLast", keys: "ArrowUp", slash: "edit",
    isPossible: ({ mayAct, messages }) => mayAct && messages.some(isLastOwn), run: editLast,
  },
  {
    id: "copy", group: "groupAnswer", says: "copyLast", slash: "copy",
    isPossible: ({ messages }) => messages.some(({ role }) => role === "assistant"), run: (now, words) => void copyLast(now, words),
  },

  { id: "rename", group: "groupChat", says: "renameChat", keys: "F2", slash: "rename", isPossible: inChat, run: ({ session }) => session && opened.put({ dialog: "rename", session }) },
  { id: "pin", group: "groupChat", says: "pinChat", slash: "pin", isPossible: (now) => inChat(now) && !now.session?.pinned, run: ({ session }) => session && void sessions.change(session.id, { pinned: true }) },
  { id: "unpin", group: "groupChat", says: "unpinChat", slash: "unpin", isPossible: ({ session }) => Boolean(session?.pinned), run: ({ session }) => session && void sessions.change(session.id, { pinned: false }) },
  { id: "fork", group: "groupChat", says: "forkChat", slash: "fork", isPossible: ({ session, messages }) => session !== null && messages.length > 0, run: ({ session }) => session && void fork(session.id) },
  { id: "archive", group: "groupChat", says: "archiveChat", slash: "archive", isPossible: (now) => inChat(now) && !now.session?.archived_at, run: ({ session }) => session && void sessions.change(session.id, { archived: true }) },
  { id: "unarchive", group: "groupChat", says: "unarchiveChat", slash: "unarchive", isPossible: ({ session }) => Boolean(session?.archived_at), run: ({ session }) => session && void sessions.change(session.id, { archived: false }) },
  { id: "close", group: "groupChat", says: "closeChat", slash: "close", isPossible: (now) => inChat(now) && !now.session?.closed_at, run: ({ session }) => session && void act(() => client.close(session.id)) },
  { id: "reopen", group: "groupChat", says: "reopenChat", slash: "reopen", isPossible: ({ session }) => Boolean(session?.closed_at), run: ({ session }) => session && void act(() => client.reopen(session.id)) },
  { id: "clear", group: "groupChat", says: "clearChat", slash: "clear", isPossible: ({ session, messages }) => session !== null && messages.length > 0, run: ({ session }) => session && opened.put({ dialog: "clear", session }) },
  { id: "delete", group: "groupChat", says: "deleteChat", keys: "Mod+Shift+Backspace", slash: "delete", isPossible: inChat, run: ({ session }) => session && opened.put({ dialog: "delete", session }) },
  { id: "export", group: "groupChat", says: "exportMarkdown", slash: "export", isPossible: inChat, run: ({ session }) => session && download(client.exportUrl(session.id, "markdown")) },
  { id: "exportJson", group: "groupChat", says: "exportJson", isPossible: inChat, run: ({ session }) => session && download(client.exportUrl(session.id, "json")) },
  { id: "exportAll", group: "groupChat", says: "exportAll", run: () => download(client.exportUrl(null)) },
  { id: "import", group: "groupChat", says: "importChats", slash: "import", run: openTransfer },

  { id: "focus", group: "groupLook", says: "focusMode", keys: "Mod+Shift+F", slash: "focus", isPossible: () => !isPhone(), run: () => focusMode.put(!focusMode.read()) },
  { id: "sidebar", group: "groupLook", says: "keySidebar", keys: "Mod+B", slash: "sidebar", run: toggleSidebar },
  { id: "light", group: "groupLook", says: "themeLight", isPossible: () => theme.read() !== "light", run: () => theme.put("light") },
  { id: "dark", group: "groupLook", says: "themeDark", isPossible: () => theme.read() !== "dark", run: () => theme.put("dark") },
  { id: "auto", group: "groupLook", says: "themeAuto", isPossible: () => theme.read() !== "auto", run: () => theme.put("auto") },
  { id: "english", group: "groupLook", says: "speakEnglish", run: () => speak("en") },
  { id: "swedish", group: "groupLook", says: "speakSwedish", run: () => speak("sv") },
  { id: "russian", group: "groupLook", says: "speakRussian", run: () => speak("ru") },
  { id: "keys", group: "groupLook", says: "keysOf", keys: "?", slash: "keys", run: () => opened.put({ dialog: "keys" }) },
];

export const possible = (now: Situation): Command[] => COMMANDS.filter(({ isPossible }) => isPossible?.(now) ?? true);
