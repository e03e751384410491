"""``legato sessions summary`` and ``pin-message``: what a model is sent of a long session."""

from typing import Annotated

import typer

from legato.cli.connection import DEFAULT_URL, Token, Url, told
from legato.cli.output import Json, client_of, write_json
from legato.cli.terminal import printable

_Id = Annotated[str, typer.Argument(metavar="ID", help="The session.")]


def summary(session_id: _Id, url: Url = DEFAULT_URL, token: Token = None, as_json: Json = False) -> None:
    """Print what stands in the prompt for the oldest messages."""
    with told(), client_of(url, token) as client:
        found = client.summary(session_id)
    if as_json:
        write_json(found)
    else:
        typer.echo(printable(found.text))
        typer.echo(f"({found.messages} messages, up to {found.message_id})", err=True)


def pin_message(
    session_id: _Id,
    message_id: Annotated[str, typer.Argument(metavar="MESSAGE", help="The message.")],
    off: Annotated[bool, typer.Option("--off", help="Take its pin away.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Keep a message in the prompt, however long the session gets."""
    with told(), client_of(url, token) as client:
        message = client.pin(session_id, message_id, pinned=not off)
    if as_json:
        write_json(message)
    else:
        typer.echo(f"{message.id} is {'pinned' if message.pinned else 'not pinned any more'}.")
