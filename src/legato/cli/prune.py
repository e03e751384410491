"""``legato sessions prune``: remove what is too old, after a look at it."""

import sys
from typing import Annotated

import typer

from legato.cli.connection import DEFAULT_URL, Token, Url, told
from legato.cli.output import Json, client_of, console, table_of, write_json
from legato.core.model import Session

_SHOWN = 20


def prune(
    url: Url = DEFAULT_URL,
    token: Token = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    as_json: Json = False,
) -> None:
    """Remove your sessions that are older than their agents allow (`retention_days`). There is no way back."""
    with told(), client_of(url, token) as client:
        found = client.prune(dry_run=True, limit=1000 if as_json else _SHOWN)
        if dry_run or not found.count:
            if as_json:
                write_json(found)
            else:
                _show(found.count, found.data, "would be removed" if found.count else "")
            return
        if not yes:
            _show(found.count, found.data, "will be removed")
            if not sys.stdin.isatty():
                raise typer.BadParameter("say --yes to remove them without being asked")
            typer.confirm("Remove them?", abort=True)
        removed = client.prune(limit=1)
    if as_json:
        write_json(removed)
    else:
        typer.echo(f"{removed.count} {_sessions(removed.count)} removed.")


def _show(count: int, oldest: list[Session], what: str) -> None:
    if not count:
        typer.echo("No session is older than its agent allows.")
        return
    console().print(table_of(oldest))
    more = f", of which these {len(oldest)} are the oldest" if count > len(oldest) else ""
    typer.echo(f"{count} {_sessions(count)} {what}{more}.")


def _sessions(count: int) -> str:
    return "session" if count == 1 else "sessions"
