import { useEffect, useState, type KeyboardEvent, type ReactNode } from "react";
import { isComposing } from "./isComposing";
import "./controls.css";

export interface Option {
  id: string;
  label: string;
  /** What more there is to say of it. */
  detail?: ReactNode;
  /** What stands at its end. */
  aside?: ReactNode;
  /** Options of one group stand under its name. */
  group?: string | undefined;
  isChosen?: boolean;
  isOff?: boolean;
}

interface Listed {
  active: number;
  setActive: (index: number) => void;
  /** Arrows, Home, End and Enter; true where the key was one of them. */
  onKey: (event: KeyboardEvent) => boolean;
}

/** Which of the options is pointed at. The focus stays in the field above them. */
export function useOptions(options: readonly Option[], onPick: (option: Option) => void): Listed {
  const [pointed, setActive] = useState(0);
  const active = Math.min(pointed, Math.max(0, options.length - 1));
  const onKey = (event: KeyboardEvent): boolean => {
    const last = options.length - 1;
    const to = { ArrowDown: active === last ? 0 : active + 1, ArrowUp: active === 0 ? last : active - 1, Home: 0, End: last }[event.key];
    const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey && !event.shiftKey;
    const option = options[active];
    if (!isPlain || isComposing(event) || !option) return false;
    if (to !== undefined) setActive(to);
    else if (event.key === "Enter") {
      if (!option.isOff) onPick(option);
    } else return false;
    event.preventDefault();
    return true;
  };
  return { active, setActive, onKey };
}

export const optionId = (list: string, index: number): string => `${list}-${String(index)}`;

interface Props extends Pick<Listed, "active" | "setActive"> {
  id: string;
  label: string;
  options: readonly Option[];
  onPick: (option: Option) => void;
}

export function Options({ id, label, options, active, setActive, onPick }: Props) {
  useEffect(() => {
    document.getElementById(optionId(id, active))?.scrollIntoView({ block: "nearest" });
  }, [id, active]);
  const groups = [...new Set(options.map(({ group }) => group))];
  const row = (option: Option) => {
    const index = options.indexOf(option);
    return (
      <div
        key={option.id} id={optionId(id, index)} role="option" className="option" aria-selected={index === active} aria-disabled={option.isOff || undefined}
        data-chosen={option.isChosen || undefined} onMouseMove={() => index !== active && setActive(index)}
        // The field keeps the focus.
        onMouseDown={(event) => event.preventDefault()} onClick={() => !option.isOff && onPick(option)}
      >
        <span className="option-label" dir="auto">{option.label}</span>
        {option.aside !== undefined && <span className="option-aside">{option.aside}</span>}
        {option.detail !== undefined && <span className="option-detail" dir="auto">{option.detail}</span>}
      </div>
    );
  };
  return (
    <div id={id} role="listbox" aria-label={label} aria-activedescendant={options.length > 0 ? optionId(id, active) : undefined} className="options" tabIndex={0}>
      {groups.map((group) => {
        const rows = options.filter((option) => option.group === group).map(row);
        if (group === undefined) return rows;
        return <div key={group} role="group" aria-label={group}><div className="options-group" aria-hidden="true">{group}</div>{rows}</div>;
      })}
    </div>
  );
}
