"""What was measured, as a table, as Markdown and as JSON."""

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec


class Line(msgspec.Struct, kw_only=True):
    """One line of the table. Without a limit there is nothing to meet: a reference, or an explanation."""

    row: str
    what: str
    measured: float
    unit: str
    limit: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def target(self) -> str:
        return "" if self.limit is None else f"{'≥' if self.at_least else '≤'} {number(self.limit)}"

    @property
    def met(self) -> bool | None:
        if self.limit is None:
            return None
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    @property
    def verdict(self) -> str:
        if self.limit is None:
            return ""
        share = self.measured / self.limit if self.limit else 0.0
        return f"{'met' if self.met else 'MISSED'}, × {share:.2f} of the target"


def number(value: float) -> str:
    """Three digits that count, large ones whole."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of ``values`` does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


_COLUMNS = ("row", "what", "target", "measured", "", "note")


def _cells(line: Line) -> tuple[str, ...]:
    return (line.row, line.what, line.target, f"{number(line.measured)} {line.unit}".strip(), line.verdict, line.note)


def table(lines: Sequence[Line]) -> str:
    """For a terminal."""
    rows = [_COLUMNS, *map(_cells, lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def markdown(lines: Sequence[Line], about: dict[str, Any]) -> str:
    """For ``docs/evidence.md``."""
    said = " · ".join(f"{name} {value}" for name, value in about.items())
    rows = [_COLUMNS, ("---",) * len(_COLUMNS), *map(_cells, lines)]
    return said + "\n\n" + "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def write(lines: Sequence[Line], about: dict[str, Any], directory: Path) -> None:
    """The files of this run."""
    directory.mkdir(parents=True, exist_ok=True)
    data = [msgspec.structs.asdict(line) | {"met": line.met, "target": line.target} for line in lines]
    (directory / "bench.json").write_bytes(
        msgspec.json.format(msgspec.json.encode({"about": about, "lines": data}), indent=1)
    )
    (directory / "bench.md").write_text(markdown(lines, about), "utf-8")
