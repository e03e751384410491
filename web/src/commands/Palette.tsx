import { useState } from "react";
import { flushSync } from "react-dom";
import { templates, toInsert } from "../composer/templates";
import { Dialog } from "../controls/Dialog";
import { optionId, Options, useOptions, type Option } from "../controls/Options";
import { useWords, type Say } from "../i18n";
import { goTo } from "../state/route";
import { useStore } from "../state/store";
import { possible } from "./commands";
import { ranked } from "./fuzzy";
import { Keyboard } from "./Keyboard";
import { write } from "./navigation";
import { situation } from "./situation";
import { useChats } from "./useChats";
import "./commands.css";

type Found = Option & { run: () => void };

const LIST = "palette-list";
const MOST_CHATS = 8;
const RECENT = 4;

function useFound(typed: string, onlyChats: boolean, words: Say): Found[] {
  const [now] = useState(situation);
  const others = useChats(typed, onlyChats ? 50 : MOST_CHATS).filter(({ id }) => id !== now.session?.id);
  const chats = others.slice(0, onlyChats || typed.trim() ? undefined : RECENT).map(({ id, title, agent_name: agent }): Found => ({
    id, label: title || words("untitled"), aside: agent, group: words("recentChats"), run: () => goTo(id),
  }));
  const kept = useStore(templates);
  if (onlyChats) return chats;
  const commands = possible(now).filter(({ isKeyOnly }) => !isKeyOnly).map((command) => ({
    words: `${words(command.says)} ${command.slash ? `/${command.slash}` : ""}`,
    found: {
      id: command.id, label: words(command.says), group: words("commands"), run: () => command.run(now, words),
      aside: command.keys ? <Keyboard keys={command.keys} /> : command.slash && `/${command.slash}`,
    } satisfies Found,
  }));
  const inserting = kept.map(({ id, name, text }) => ({
    words: name,
    found: { id, label: words("templateOf", { name }), group: words("templatesTitle"), run: () => { write(); toInsert.put(text); } } satisfies Found,
  }));
  const of = (entries: readonly { words: string; found: Found }[]) => ranked(typed, entries, (entry) => entry.words).map(({ found }) => found);
  const named = [...of(commands), ...of(inserting)];
  // What is typed names a command more often than a chat.
  return typed.trim() ? [...named, ...chats] : [...chats, ...named];
}

/** Commands, chats and templates, found by some letters of their names. */
export function Palette({ onlyChats, onClose }: { onlyChats: boolean; onClose: () => void }) {
  const words = useWords();
  const [typed, setTyped] = useState("");
  const found = useFound(typed, onlyChats, words);
  const pick = (option: Option) => {
    // First the focus goes back, then wherever the command takes it: before the next key, which may be meant for where it leads.
    flushSync(onClose);
    found.find(({ id }) => id === option.id)?.run();
  };
  const { active, setActive, onKey } = useOptions(found, pick);
  const ask = words(onlyChats ? "chatsAsk" : "paletteAsk");
  return (
    <Dialog title={words(onlyChats ? "goToChat" : "palette")} isBare onClose={onClose}>
      <div className="palette" onKeyDown={onKey}>
        <input
          autoFocus type="text" role="combobox" aria-expanded={found.length > 0} aria-controls={LIST} aria-autocomplete="list"
          aria-activedescendant={found.length > 0 ? optionId(LIST, active) : undefined} aria-label={ask} placeholder={ask} value={typed} autoComplete="off"
          onChange={(event) => { setTyped(event.target.value); setActive(0); }}
        />
        <Options id={LIST} label={words("commands")} options={found} active={active} setActive={setActive} onPick={pick} />
        <p className="palette-count" role="status">{found.length > 0 ? words("found", { n: found.length }) : words("noCommand")}</p>
      </div>
    </Dialog>
  );
}
