import { useId, useRef, useState, type ReactNode } from "react";
import { ranked } from "../commands/fuzzy";
import { useWords } from "../i18n";
import { optionId, Options, useOptions, type Option } from "./Options";
import "./controls.css";

interface Props {
  id: string;
  /** What is chosen here, and what is chosen now. */
  label: string;
  value: string;
  options: readonly Option[];
  /** What is to be known before one chooses. */
  note?: ReactNode;
  onPick: (id: string) => void;
}

const SEARCHED_FROM = 8;
const GAP = 6;
const MOST_WIDTH = 400;

/** A button that opens a list to choose from; with many choices it can be searched. */
export function Picker({ id, label, value, options, note, onPick }: Props) {
  const words = useWords();
  const [isOpen, setOpen] = useState(false);
  const [typed, setTyped] = useState("");
  const button = useRef<HTMLButtonElement>(null);
  const panel = useRef<HTMLDivElement>(null);
  const list = useId();
  const found = ranked(typed, options, (option) => option.label);
  const close = () => panel.current?.hidePopover();
  const { active, setActive, onKey } = useOptions(found, (option) => { close(); onPick(option.id); });
  const toggle = (event: React.ToggleEvent) => {
    const opens = event.newState === "open";
    setOpen(opens);
    setTyped("");
    if (!opens) return;
    setActive(Math.max(0, options.findIndex(({ isChosen }) => isChosen)));
    panel.current?.querySelector<HTMLElement>("input, [role=listbox]")?.focus();
  };
  const place = () => panel.current && button.current && putBeside(panel.current, button.current);
  return (
    <>
      <button
        ref={button} id={id} type="button" className="quiet picker" popoverTarget={`${id}-panel`} aria-haspopup="listbox" aria-expanded={isOpen}
        aria-label={`${label}: ${value}`} title={label}
      >
        <span dir="auto">{value}</span>
      </button>
      <div
        ref={panel} id={`${id}-panel`} popover="auto" className="picker-panel" onBeforeToggle={place} onToggle={toggle}
        onKeyDown={(event) => {
          if (!onKey(event) && event.key === "Tab") close();
          // With nothing found, Enter would send the form around it.
          if (event.key === "Enter") event.preventDefault();
          // The keys of the page, the one that stops an answer among them, are not meant here.
          event.stopPropagation();
        }}
      >
        {note !== undefined && <p className="picker-note">{note}</p>}
        {options.length >= SEARCHED_FROM && (
          <input
            type="search" value={typed} role="combobox" aria-expanded="true" aria-controls={list} aria-autocomplete="list" aria-activedescendant={optionId(list, active)}
            placeholder={words("pickerSearch")} aria-label={words("pickerSearch")} onChange={(event) => { setTyped(event.target.value); setActive(0); }}
          />
        )}
        <Options id={list} label={label} options={found} active={active} setActive={setActive} onPick={(option) => { close(); onPick(option.id); }} />
        {found.length === 0 && <p className="hint">{words("noHits")}</p>}
      </div>
    </>
  );
}

/** Above or below the button, where there is more room, and never out of the window. */
function putBeside(panel: HTMLElement, button: HTMLElement): void {
  const at = button.getBoundingClientRect();
  const width = Math.min(MOST_WIDTH, innerWidth - 2 * GAP);
  const above = at.top > innerHeight - at.bottom;
  Object.assign(panel.style, {
    width: `${String(width)}px`,
    left: `${String(Math.max(GAP, Math.min(at.left, innerWidth - width - GAP)))}px`,
    top: above ? "auto" : `${String(at.bottom + GAP)}px`,
    bottom: above ? `${String(innerHeight - at.top + GAP)}px` : "auto",
    maxHeight: `${String((above ? at.top : innerHeight - at.bottom) - 2 * GAP)}px`,
  });
}
