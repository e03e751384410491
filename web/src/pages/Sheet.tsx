import { useId, type ReactNode } from "react";
import { TopBar } from "../shell/TopBar";
import "./sheet.css";

/** A page beside the chats: its head, and a column of sections. */
export function Sheet({ title, wide = false, onMenu, children }: { title: string; wide?: boolean; onMenu: () => void; children: ReactNode }) {
  return (
    <>
      <TopBar title={title} onMenu={onMenu} />
      <div className="sheet"><div className={wide ? "sheet-body wide" : "sheet-body"}>{children}</div></div>
    </>
  );
}

export function Section({ title, note, children }: { title: string; note?: ReactNode; children: ReactNode }) {
  const id = useId();
  return (
    <section className="sheet-section" aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {note && <p className="note">{note}</p>}
      {children}
    </section>
  );
}

/** Something is on or off, at once. */
export function Switch({ label, on, onChange }: { label: string; on: boolean | null; onChange: (on: boolean) => void }) {
  return (
    <label className="switch">
      <input type="checkbox" role="switch" checked={on === true} disabled={on === null} onChange={(event) => onChange(event.target.checked)} />
      <span>{label}</span>
    </label>
  );
}

interface Chosen<Value extends string> {
  label: string;
  value: Value;
  choices: readonly (readonly [Value, string])[];
  onChoose: (value: Value) => void;
}

/** One of a few, all of them in sight. */
export function Choice<Value extends string>({ label, value, choices, onChoose }: Chosen<Value>) {
  const name = useId();
  return (
    <fieldset className="choice">
      <legend>{label}</legend>
      <div className="choices">
        {choices.map(([each, text]) => (
          <label key={each}>
            <input type="radio" name={name} checked={each === value} onChange={() => onChoose(each)} />
            <span>{text}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

/** A table that scrolls by itself where it is wider than the page. */
export function Table({ label, head, children }: { label: string; head: readonly string[]; children: ReactNode }) {
  return (
    <div className="table-box" role="group" aria-label={label} tabIndex={0}>
      <table className="table">
        <thead><tr>{head.map((each) => <th key={each} scope="col">{each}</th>)}</tr></thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}
