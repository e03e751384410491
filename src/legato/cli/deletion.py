"""``legato sessions delete``: for good."""

import sys
from typing import Annotated

import typer

from legato.cli.connection import DEFAULT_URL, Token, Url, told
from legato.cli.output import client_of
from legato.cli.terminal import printable


def delete(
    session_ids: Annotated[list[str], typer.Argument(metavar="ID…", help="The sessions.")],
    url: Url = DEFAULT_URL,
    token: Token = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Delete sessions and all that was said in them. There is no way back."""
    if not yes and not sys.stdin.isatty():
        raise typer.BadParameter("say --yes to delete them without being asked")
    with told(), client_of(url, token) as client:
        for session_id in session_ids:
            if not yes:
                title = client.session(session_id, limit=1).state.session.title
                typer.confirm(printable(f"Delete {session_id}{f' ({title})' if title else ''}?"), abort=True)
            client.delete(session_id)
            typer.echo(f"{session_id} is deleted.")
