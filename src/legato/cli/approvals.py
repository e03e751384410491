"""``legato approvals``: what agents ask you, to answer; and what you have allowed for always."""

from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from legato.cli.connection import DEFAULT_URL, Token, Url, told
from legato.cli.output import Json, client_of, console, when, write_json
from legato.cli.terminal import printable
from legato.core.model import Approval, Grant

Id = Annotated[str, typer.Argument(metavar="ID", help="The approval.")]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Answer what agents ask you, through a running server."""


@app.command("list")
def list_(url: Url = DEFAULT_URL, token: Token = None, as_json: Json = False) -> None:
    """List what waits for your answer, the oldest first."""
    with told(), client_of(url, token) as client:
        waiting = list(client.approvals())
    if as_json:
        write_json(waiting)
        return
    console().print(_table(waiting) if waiting else "Nobody asks you anything.")


@app.command()
def allow(
    approval_id: Id,
    url: Url = DEFAULT_URL,
    token: Token = None,
    always: Annotated[bool, typer.Option("--always", help="And don't ask about this tool again.")] = False,
) -> None:
    """Allow it; the agent goes on."""
    with told(), client_of(url, token) as client:
        _tell(client.decide(approval_id, "always" if always else "allow"))


@app.command()
def deny(approval_id: Id, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Don't allow it; the agent goes on without."""
    with told(), client_of(url, token) as client:
        _tell(client.decide(approval_id, "deny"))


@app.command()
def grants(url: Url = DEFAULT_URL, token: Token = None, as_json: Json = False) -> None:
    """List the tools that you have allowed for always."""
    with told(), client_of(url, token) as client:
        found = list(client.grants())
    if as_json:
        write_json(found)
        return
    console().print(_granted(found) if found else "You have allowed nothing for always.")


@app.command()
def revoke(
    grant_id: Annotated[str, typer.Argument(metavar="ID", help="The grant.")],
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Be asked about a tool again."""
    with told(), client_of(url, token) as client:
        client.revoke(grant_id)
    typer.echo("You will be asked again.")


def _tell(approval: Approval) -> None:
    typer.echo(printable(f"{approval.status}: {approval.question}"))


def _table(waiting: list[Approval]) -> Table:
    table = Table("id", "asked", "until", "session", "question", box=SIMPLE_HEAD)
    for approval in waiting:
        question = Text(printable(approval.question))
        table.add_row(approval.id, when(approval.created_at), when(approval.expires_at), approval.session_id, question)
    return table


def _granted(found: list[Grant]) -> Table:
    table = Table("id", "agent", "tool", box=SIMPLE_HEAD)
    for grant in found:
        table.add_row(grant.id, Text(printable(grant.agent_id)), Text(printable(grant.tool)))
    return table
