"""What commands share that ask a running server and print what it says."""

import sys
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Final

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from legato.cli.terminal import printable
from legato.client import Client
from legato.core.model import Session

_PIPE_WIDTH: Final = 200  # columns, where no terminal says how many it has
_RETRY_FOR_S: Final = 5.0

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]


def client_of(url: str, token: str | None) -> Client:
    return Client(url, token=token, retry_for_s=_RETRY_FOR_S)


def console() -> Console:
    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)


def write_json(value: object) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(value)))


def table_of(sessions: list[Session]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("id", no_wrap=True)
    for name in ("title", "agent", "last activity", "state"):
        table.add_column(name)
    for session in sessions:
        cells = (session.id, session.title or "", session.agent_name, when(session.last_activity), state_of(session))
        table.add_row(*(Text(printable(cell)) for cell in cells))  # Text: a title's [brackets] are no markup
    return table


def state_of(session: Session) -> str:
    marks = {"closed": session.closed_at, "archived": session.archived_at, "pinned": session.pinned}
    return ", ".join(name for name, value in marks.items() if value) or "active"


def when(at: datetime) -> str:
    """The time as clocks here show it; one that they can't show as it is."""
    with suppress(OverflowError, ValueError, OSError):
        at = at.astimezone()
    return at.strftime("%Y-%m-%d %H:%M")
