import { useRef } from "react";

interface Props {
  label: string;
  sign?: string;
  items: readonly (readonly [name: string, act: () => void])[];
}

/** A button that opens a few actions; Escape and a look elsewhere close it. */
export function Menu({ label, sign = "⋯", items }: Props) {
  const menu = useRef<HTMLDetailsElement>(null);
  const close = () => menu.current?.removeAttribute("open");
  // Near the foot of the thread it would open out of sight.
  const onToggle = () => { if (menu.current?.open) menu.current.lastElementChild?.scrollIntoView({ block: "nearest" }); };
  const onKey = ({ key }: React.KeyboardEvent) => {
    if (key !== "Escape") return;
    close();
    menu.current?.querySelector("summary")?.focus();
  };
  return (
    <details
      ref={menu} className="message-menu" onToggle={onToggle} onKeyDown={onKey}
      onBlur={(event) => !event.currentTarget.contains(event.relatedTarget) && close()}
    >
      <summary className="quiet" aria-label={label} title={label}>{sign}</summary>
      <div className="popup">
        {items.map(([name, act]) => <button key={name} type="button" onClick={() => { close(); act(); }}>{name}</button>)}
      </div>
    </details>
  );
}
