"""Serving an application with Legato in it: started before it listens, its streams ended before it stops."""

import asyncio
import gc
import socket
import sys
from types import FrameType
from typing import Any, Final

import uvicorn
import uvloop

from legato.app import Legato
from legato.web.connection import Connection

_CLOSE_S: Final = 2  # for clients that don't read the end of their stream; turns have their own grace
# How long a thread may keep the others waiting. The writer's thread gives way at each statement; with Python's 5 ms a busy
# event loop would let a commit of fifty sessions wait for a quarter of a second.
_SWITCH_S: Final = 0.0005


def run(chat: Legato, app: Any, *, host: str = "127.0.0.1", port: int = 8000, announce: str = "") -> None:
    """Serve ``app`` until a signal ends it: one made by ``chat.asgi``, or a host's own that uses ``chat``.

    Instead of ``lifespan=chat.lifespan``, which under another server must be given a time-out for streams that are open.

    Raises:
        StoreInUse, SchemaMismatch, Unavailable, Misuse.
    """
    sys.setswitchinterval(_SWITCH_S)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(chat, app, host, port, announce or f"http://{host}:{port}"))


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
            sys.stdout.write(f"{self._announce}\n")
            sys.stdout.flush()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit and self._loop is not None:  # asked twice: whoever runs the server does not want to wait
            self._loop.call_soon_threadsafe(self._chat.hurry)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._chat.drain()
        await super().shutdown(sockets)
        await self._chat.stop()


async def _serve(chat: Legato, app: Any, host: str, port: int, announce: str) -> None:
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
    await _Server(config, chat, announce).serve()
