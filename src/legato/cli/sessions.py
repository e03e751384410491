"""``legato sessions``: what is there."""

import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Annotated, Final

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from legato.cli.connection import DEFAULT_URL, Token, Url, told
from legato.cli.terminal import printable
from legato.client import Client
from legato.core.model import Message, Part, ReasoningPart, Session, State, TextPart, ToolCallPart, ToolResultPart

_PIPE_WIDTH: Final = 200  # columns, where no terminal says how many it has
_RETRY_FOR_S: Final = 5.0

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Look at sessions, through a running server."""


@app.command("list")
def list_(
    url: Url = DEFAULT_URL,
    token: Token = None,
    status: Annotated[str | None, typer.Option(help="active, closed, archived or pinned.", show_default=False)] = None,
    agent: Annotated[str | None, typer.Option(help="Only of this agent.", show_default=False)] = None,
    context: Annotated[str | None, typer.Option(help="Only bound to this.", show_default=False)] = None,
    text: Annotated[
        str | None, typer.Option(help="Only where this is found, in title or messages.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: Json = False,
) -> None:
    """List sessions, the newest activity first."""
    with told(), _client(url, token) as client:
        found = client.sessions(status=status, agent_id=agent, context=context, text=text, limit=min(limit, 200))
        sessions = list(islice(found, limit))
    if as_json:
        _write_json(sessions)
    else:
        _console().print(_table(sessions) if sessions else "There are no sessions.")


@app.command()
def show(
    session_id: Annotated[str, typer.Argument(metavar="ID", help="The session.")],
    url: Url = DEFAULT_URL,
    token: Token = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="The newest messages, how many.")] = 100,
    as_json: Json = False,
) -> None:
    """Show a session: what it is, and its newest messages."""
    with told(), _client(url, token) as client:
        state, cursor = client.session(session_id, limit=limit)
    if as_json:
        _write_json({"state": state, "cursor": str(cursor)})
        return
    console = _console()
    console.print(_facts(state))
    if state.has_more:
        console.print(Text("(older messages are left out)", "dim"))
    for message in state.messages:
        console.print(Text(_heading(message), "bold"))
        console.print(Text("\n".join(_lines(message))), soft_wrap=True)
        console.print()


def _client(url: str, token: str | None) -> Client:
    return Client(url, token=token, retry_for_s=_RETRY_FOR_S)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)


def _write_json(value: object) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(value)))


def _table(sessions: list[Session]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("id", no_wrap=True)
    for name in ("title", "agent", "last activity", "state"):
        table.add_column(name)
    for session in sessions:
        cells = (session.id, session.title or "", session.agent_name, _when(session.last_activity), _state_of(session))
        table.add_row(*(Text(printable(cell)) for cell in cells))  # Text: a title's [brackets] are no markup
    return table


def _facts(state: State) -> Table:
    session = state.session
    facts = {
        "session": session.id,
        "title": session.title or "",
        "agent": f"{session.agent_name} ({session.agent_id})",
        "model": session.model_id or "",
        "created": _when(session.created_at),
        "last activity": _when(session.last_activity),
        "state": _state_of(session),
        "turns": ", ".join(f"{turn.id} {turn.status}" for turn in state.turns),
    }
    table = Table(box=None, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        if value:
            table.add_row(name, Text(printable(value)))
    return table


def _state_of(session: Session) -> str:
    marks = {"closed": session.closed_at, "archived": session.archived_at, "pinned": session.pinned}
    return ", ".join(name for name, value in marks.items() if value) or "active"


def _when(at: datetime) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M")


def _heading(message: Message) -> str:
    status = "" if message.status == "completed" else f" · {message.status}"
    error = f" · {message.error.message}" if message.error else ""
    return printable(f"{message.role} · {_when(message.created_at)}{status}{error}")


def _lines(message: Message) -> Iterator[str]:
    for part in message.parts:
        yield printable(_line(part))


def _line(part: Part) -> str:
    match part:
        case TextPart():
            return part.text
        case ReasoningPart():
            return f"(thinking) {part.text}"
        case ToolCallPart():
            return f"→ {part.name}({part.arguments})"
        case ToolResultPart():
            return f"← {'error: ' if part.is_error else ''}{part.output}"
