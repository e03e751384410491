"""``legato sessions fork``: go on from a message of a session in a new one."""

from typing import Annotated

import typer

from legato.cli.connection import DEFAULT_URL, Token, Url, told
from legato.cli.output import Json, client_of, write_json


def fork(
    session_id: Annotated[str, typer.Argument(metavar="ID", help="The session.")],
    message: Annotated[
        str | None,
        typer.Option(help="The last message to take over, if not the last one there is.", show_default=False),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Its title, if not the same.", show_default=False)] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Begin a session with copies of what was said in another one, up to a message; its id is printed."""
    with told(), client_of(url, token) as client:
        session = client.fork(session_id, message, title=title)
    if as_json:
        write_json(session)
    else:
        typer.echo(session.id)
