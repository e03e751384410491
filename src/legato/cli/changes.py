"""``legato sessions rename``, ``pin``, ``archive``, ``close``, ``keep`` …: what an owner changes of a session."""

from collections.abc import Callable
from typing import Annotated, Final

import typer

from legato.cli.connection import DEFAULT_URL, Token, Url, told
from legato.cli.output import Json, client_of, write_json
from legato.cli.terminal import printable
from legato.client import Client
from legato.core.model import Session

Ids = Annotated[list[str], typer.Argument(metavar="ID…", help="The sessions.")]
_Change = Callable[[Client, str], Session]

# What is done, what it is called in the help, and what the session then is.
_CHANGES: Final[dict[str, tuple[_Change, str, str]]] = {
    "pin": (lambda client, id_: client.update_session(id_, pinned=True), "Pin sessions.", "pinned"),
    "unpin": (lambda client, id_: client.update_session(id_, pinned=False), "Unpin sessions.", "not pinned any more"),
    "archive": (
        lambda client, id_: client.update_session(id_, archived=True),
        "Put sessions away; they go on as before, and are listed with --status archived.",
        "archived",
    ),
    "unarchive": (
        lambda client, id_: client.update_session(id_, archived=False),
        "Take archived sessions back.",
        "not archived any more",
    ),
    "close": (lambda client, id_: client.close(id_), "Make sessions read-only.", "closed"),
    "reopen": (lambda client, id_: client.reopen(id_), "Let closed sessions take messages again.", "open"),
    "keep": (
        lambda client, id_: client.update_session(id_, keep=True),
        "Never remove sessions for their age.",
        "kept, whatever its age",
    ),
    "unkeep": (
        lambda client, id_: client.update_session(id_, keep=False),
        "Let sessions be removed when they are older than their agents allow.",
        "removed when it is older than its agent allows",
    ),
}


def register(app: typer.Typer) -> None:
    """Give the commands to a group."""
    app.command()(rename)
    for name, (change, about, outcome) in _CHANGES.items():
        app.command(name, help=about)(_command(change, outcome))


def rename(
    session_id: Annotated[str, typer.Argument(metavar="ID", help="The session.")],
    title: Annotated[str, typer.Argument(metavar="TITLE", help='Its title, at most 200 characters; "" takes it away.')],
    url: Url = DEFAULT_URL,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Give a session a title; nothing but another rename changes it."""
    with told(), client_of(url, token) as client:
        session = client.update_session(session_id, title=title)
    if as_json:
        write_json(session)
    else:
        is_called = f"is called {session.title}" if session.title else "has no title"
        typer.echo(printable(f"{session.id} {is_called}."))


def _command(change: _Change, outcome: str) -> Callable[..., None]:
    def command(session_ids: Ids, url: Url = DEFAULT_URL, token: Token = None, as_json: Json = False) -> None:
        changed: list[Session] = []
        with told(), client_of(url, token) as client:
            for session_id in session_ids:
                changed.append(change(client, session_id))
                if not as_json:
                    typer.echo(f"{changed[-1].id} is {outcome}.")
        if as_json:
            write_json(changed)

    return command
