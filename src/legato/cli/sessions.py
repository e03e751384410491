"""``legato sessions``: what is there."""

from collections.abc import Iterator
from itertools import islice
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from legato.cli import changes
from legato.cli.connection import DEFAULT_URL, Token, Url, told
from legato.cli.context import pin_message, summary
from legato.cli.deletion import delete
from legato.cli.forking import fork
from legato.cli.output import Json, client_of, console, state_of, table_of, when, write_json
from legato.cli.prune import prune
from legato.cli.terminal import printable
from legato.cli.transfer import export, import_
from legato.core.files import weight
from legato.core.model import (
    FilePart,
    Gauge,
    Message,
    Part,
    ReasoningPart,
    State,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

app = typer.Typer(no_args_is_help=True)
app.command()(prune)
app.command("export")(export)
app.command("import")(import_)
app.command()(delete)
app.command()(fork)
app.command()(summary)
app.command("pin-message")(pin_message)


@app.callback()
def _group() -> None:
    """Look at sessions and change them, through a running server."""


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
    with told(), client_of(url, token) as client:
        found = client.sessions(status=status, agent_id=agent, context=context, text=text, limit=min(limit, 200))
        sessions = list(islice(found, limit))
    if as_json:
        write_json(sessions)
    else:
        console().print(table_of(sessions) if sessions else "There are no sessions.")


@app.command()
def show(
    session_id: Annotated[str, typer.Argument(metavar="ID", help="The session.")],
    url: Url = DEFAULT_URL,
    token: Token = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="The newest messages, how many.")] = 100,
    as_json: Json = False,
) -> None:
    """Show a session: what it is, and its newest messages."""
    with told(), client_of(url, token) as client:
        state, cursor = client.session(session_id, limit=limit)
    if as_json:
        write_json({"state": state, "cursor": str(cursor)})
        return
    out = console()
    out.print(_facts(state))
    if state.has_more:
        out.print(Text("(older messages are left out)", "dim"))
    for message in state.messages:
        out.print(Text(_heading(message), "bold"))
        out.print(Text("\n".join(_lines(message))), soft_wrap=True)
        out.print()


def _facts(state: State) -> Table:
    session = state.session
    facts = {
        "session": session.id,
        "title": session.title or "",
        "agent": f"{session.agent_name} ({session.agent_id})",
        "model": session.model_id or "",
        "created": when(session.created_at),
        "last activity": when(session.last_activity),
        "state": state_of(session),
        "forked from": session.forked_from.session_id if session.forked_from else "",
        "context": _fullness(state.gauge) if state.gauge else "",
        "turns": ", ".join(f"{turn.id} {turn.status}" for turn in state.turns),
    }
    table = Table(box=None, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        if value:
            table.add_row(name, Text(printable(value)))
    return table


def _fullness(gauge: Gauge) -> str:
    return f"{gauge.tokens:,} of {gauge.window:,} tokens ({100 * gauge.tokens / gauge.window:.0f} %)"


def _heading(message: Message) -> str:
    pinned = " · pinned" if message.pinned else ""
    status = "" if message.status == "completed" else f" · {message.status}"
    error = f" · {message.error.message}" if message.error else ""
    return printable(f"{message.role} · {when(message.created_at)}{status}{pinned}{error} · {message.id}")


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
        case FilePart():
            return f"[{part.name}, {part.media_type}, {weight(part.size)}]"
        case ToolResultPart():
            return f"← {'error: ' if part.is_error else ''}{part.output}"


changes.register(app)
