import { useMemo, useState, type ReactNode } from "react";
import { spoken, useWords } from "../../i18n";
import { Table } from "../Sheet";
import { localeOf } from "../../i18n/numbers";
import { Plot, type Look } from "./Plot";
import { isEmpty, type Lines } from "./series";

interface Props {
  title: string;
  lines: Lines;
  names: readonly string[];
  colours: readonly string[];
  kind: Look["kind"];
  /** Days instead of minutes. */
  byDay?: boolean;
  y: (value: number) => string;
  nothing: string;
  children?: ReactNode;
}

/** A chart with its key, and the same as a table for those who can't see it or want the numbers. */
export function Chart({ title, lines, names, colours, kind, byDay = false, y, nothing, children }: Props) {
  const words = useWords();
  const language = spoken();
  const look = useMemo<Look>(() => {
    const told = byDay ? ({ day: "numeric", month: "short", timeZone: "UTC" } as const) : ({ hour: "2-digit", minute: "2-digit" } as const);
    return { colours, kind, whole: kind !== "line" && !byDay, y, x: (seconds) => new Date(seconds * 1000).toLocaleString(localeOf(language), told) };
  }, [colours, kind, y, byDay, language]);
  return (
    <figure className="figure">
      <figcaption>{title}</figcaption>
      {children}
      {isEmpty(lines) ? <p className="empty plot-empty">{nothing}</p> : (
        <>
          <Plot lines={lines} look={look} />
          {!byDay && (
            <ul className="key">
              {names.map((name, at) => <li key={name}><span className="swatch" style={{ background: `var(--${colours[at] ?? ""})` }} />{name}</li>)}
            </ul>
          )}
          <AsTable title={title} lines={lines} names={names} look={look} head={words(byDay ? "diagDay" : "diagMinute")} />
        </>
      )}
    </figure>
  );
}

function AsTable({ title, lines, names, look, head }: { title: string; lines: Lines; names: readonly string[]; look: Look; head: string }) {
  const words = useWords();
  const [open, setOpen] = useState(false);
  const rows = lines.times.map((at, row) => ({ at, row })).filter(({ row }) => lines.values.some((line) => line[row]));
  return (
    <details className="as-table" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{words("diagAsTable")}</summary>
      {open && (
        <Table label={title} head={[head, ...names]}>
          {rows.reverse().map(({ at, row }) => (
            <tr key={at}>
              <td className="number">{look.x(at)}</td>
              {lines.values.map((line, column) => <td key={names[column]} className="number">{line[row] == null ? "–" : look.y(line[row])}</td>)}
            </tr>
          ))}
        </Table>
      )}
    </details>
  );
}
