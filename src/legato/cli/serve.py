"""``legato serve``: the server of one's own."""

import asyncio
import gc
import logging
import os
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
import uvicorn
import uvloop

from legato.app import Legato
from legato.core.errors import LegatoError, UnsafeBind
from legato.engine.settings import EngineSettings
from legato.web.auth import Authenticate, BearerToken, LoopbackUser, is_loopback
from legato.web.connection import Connection

_CLOSE_S = 2  # for clients that don't read the end of their stream; turns have their own grace
# How long a thread may keep the others waiting. The writer's thread gives way at each statement; with Python's 5 ms a busy
# event loop would let a commit of fifty sessions wait for a quarter of a second.
_SWITCH_S = 0.0005


class _Server(uvicorn.Server):
    """uvicorn, with Legato started before it listens, and its streams ended before it waits for them."""

    def __init__(self, config: uvicorn.Config, chat: Legato, announce: str) -> None:
        super().__init__(config)
        self._chat = chat
        self._announce = announce
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await self._chat.start()
        # What is there by now stays: a collection that looked through it all would hold up every answer for 80 ms.
        gc.freeze()
        await super().startup(sockets)
        if self.started:
            typer.echo(self._announce)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit and self._loop is not None:  # asked twice: whoever runs the server does not want to wait
            self._loop.call_soon_threadsafe(self._chat.hurry)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._chat.drain()
        await super().shutdown(sockets)
        await self._chat.stop()


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
    sys.setswitchinterval(_SWITCH_S)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        auth = authenticator(host, os.environ.get("LEGATO_TOKEN"))
        sys.path.insert(0, os.getcwd())  # where the functions live that a configuration's `run` names
        chat = Legato(database, config=config, settings=EngineSettings(grace_s=grace, titles=titles))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(chat, chat.asgi(auth), host, port))
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


async def _serve(chat: Legato, app: Any, host: str, port: int) -> None:
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="none",
        http=Connection,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_CLOSE_S,
    )
    await _Server(config, chat, f"Legato is at http://{host}:{port}").serve()
