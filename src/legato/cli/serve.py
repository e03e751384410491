"""``legato serve``: the server of one's own."""

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from legato.app import Legato
from legato.core.errors import LegatoError, UnsafeBind
from legato.engine.settings import EngineSettings
from legato.serving import run
from legato.web.auth import Authenticate, BearerToken, LoopbackUser, is_loopback


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.", envvar="LEGATO_HOST")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", envvar="LEGATO_PORT")] = 8321,
    database: Annotated[
        str, typer.Option(help="sqlite:///file or postgresql://…", envvar=["LEGATO_DATABASE", "DATABASE_URL"])
    ] = "sqlite:///legato.db",
    config: Annotated[
        Path | None, typer.Option(help="TOML file with agents, providers, models.", envvar="LEGATO_CONFIG")
    ] = None,
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds that turns get to finish after SIGTERM.", envvar="LEGATO_GRACE")
    ] = EngineSettings().grace_s,
    titles: Annotated[
        bool, typer.Option(help="Have a title made for each session.", envvar="LEGATO_TITLES")
    ] = EngineSettings().titles,
) -> None:
    """Start the server and the page. Without a key or an OPENAI_BASE_URL the offline demo agent answers."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        auth = authenticator(host, os.environ.get("LEGATO_TOKEN"))
        sys.path.insert(0, os.getcwd())  # where the functions live that a configuration's `run` names
        chat = Legato(database, config=config, settings=EngineSettings(grace_s=grace, titles=titles))
        run(chat, chat.asgi(auth), host=host, port=port, announce=f"Legato is at http://{host}:{port}")
    except LegatoError as error:
        typer.secho(f"legato: {error.message}", fg="red", err=True)
        raise typer.Exit(1) from error


def authenticator(host: str, token: str | None) -> Authenticate:
    """Who may ask on this address.

    Raises:
        UnsafeBind: others could reach it, and no credentials are set.
    """
    if token:
        return BearerToken(token)
    if not is_loopback(host):
        raise UnsafeBind(
            f"Refusing to listen on {host} without credentials: anybody who reaches it could read and write every chat. "
            "Listen on 127.0.0.1, or set LEGATO_TOKEN to a secret that clients send as a bearer token."
        )
    return LoopbackUser()
