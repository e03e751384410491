"""``legato usage``: what was used, and what it cost."""

import datetime
from collections.abc import Iterable, Iterator
from typing import Annotated, Final, get_args

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from legato.cli.connection import DEFAULT_URL, Token, Url, told
from legato.cli.money import dollars
from legato.cli.output import Json, client_of, console, write_json
from legato.cli.terminal import printable
from legato.core.spending import Group, Sums, UsageReport, UsageRow

_NAMES: Final[dict[Group, tuple[str, ...]]] = {
    "day": ("day (UTC)",),
    "agent": ("agent",),
    "model": ("model",),
    "session": ("session", "title"),
    "kind": ("for",),
}
_NUMBERS: Final = ("calls", "prompt", "cached", "answered", "tokens", "cost")


def usage(
    url: Url = DEFAULT_URL,
    token: Token = None,
    days: Annotated[int, typer.Option(min=1, max=36_500, help="How many, today (in UTC) the last.")] = 30,
    by: Annotated[str, typer.Option(help="Any of day, agent, model, session, kind, parted by commas.")] = "day",
    as_json: Json = False,
) -> None:
    """Show what you have used, in tokens and US dollars."""
    groups = _groups(by)
    today = datetime.datetime.now(datetime.UTC).date()
    with told(), client_of(url, token) as client:
        report = client.usage(by=groups, first=today - datetime.timedelta(days - 1), last=today)
    if as_json:
        write_json(report)
    elif not report.data:
        typer.echo(f"Nothing was used from {report.first} to {report.last}.")
    else:
        console().print(_table(report))
        for line in _remarks(report):
            typer.echo(line)


def _groups(by: str) -> tuple[Group, ...]:
    known: dict[str, Group] = {name: name for name in get_args(Group)}
    given = dict.fromkeys(name.strip() for name in by.split(","))
    if not given.keys() <= known.keys():
        raise typer.BadParameter(f"any of {', '.join(known)}, parted by commas", param_hint="--by")
    return tuple(known[name] for name in given)


def _table(report: UsageReport) -> Table:
    table = Table(box=SIMPLE_HEAD, show_footer=True)
    names = [name for group in report.by for name in _NAMES[group]]
    for number, name in enumerate(names):
        table.add_column(name, "total" if number == 0 else "", no_wrap=name == "session", overflow="fold")
    for name, total in zip(_NUMBERS, _numbers(report.total), strict=True):
        table.add_column(name, total, justify="right", no_wrap=True)
    for row in report.data:
        # Text: a title's [brackets] are no markup
        table.add_row(*(Text(printable(cell)) for cell in (*_keys(row, report.by), *_numbers(row))))
    return table


def _keys(row: UsageRow, by: Iterable[Group]) -> Iterator[str]:
    for group in by:
        match group:
            case "day":
                yield str(row.day)
            case "agent":
                yield str(row.agent_id)
            case "model":
                yield str(row.model_id or "none")
            case "session":
                yield str(row.session_id)
                yield row.title or ""
            case "kind":
                yield str(row.kind)


def _numbers(sums: Sums) -> tuple[str, ...]:
    counts = (sums.calls, sums.prompt_tokens, sums.cached_tokens, sums.completion_tokens, sums.total_tokens)
    return (*(f"{count:,}" for count in counts), _cost(sums))


def _cost(sums: Sums) -> str:
    return "–" if sums.calls and sums.unpriced == sums.calls else dollars(sums.cost_usd)


def _remarks(report: UsageReport) -> Iterator[str]:
    total = report.total
    if report.has_more:
        yield f"These are the first {len(report.data):,} rows; the total is that of all. Ask for fewer days to see the rest."
    if total.unpriced == total.calls:
        yield "No price is known for any of it."
    elif total.unpriced:
        yield f"No price is known for {_calls(total.unpriced)} of {total.calls:,}; the cost is that of the others."
    if total.estimated:
        yield f"The tokens of {_calls(total.estimated)} of {total.calls:,} are estimated."


def _calls(count: int) -> str:
    return f"{count:,} {'call' if count == 1 else 'calls'}"
