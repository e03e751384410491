import { useState } from "react";
import { Menu, MenuItem } from "../controls/Menu";

interface Props {
  label: string;
  sign?: string;
  items: readonly (readonly [name: string, act: () => void])[];
}

/** A button that opens a few actions. */
export function MenuButton({ label, sign = "⋯", items }: Props) {
  const [anchor, setAnchor] = useState<HTMLElement | null>(null);
  return (
    <>
      <button
        type="button" className="quiet" aria-label={label} title={label} aria-haspopup="menu" aria-expanded={anchor !== null}
        onClick={(event) => setAnchor(event.currentTarget)}
      >{sign}</button>
      {anchor && (
        <Menu label={label} anchor={anchor} onClose={() => setAnchor(null)}>
          {items.map(([name, act]) => <MenuItem key={name} onChoose={act}>{name}</MenuItem>)}
        </Menu>
      )}
    </>
  );
}
