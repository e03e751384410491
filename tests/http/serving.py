"""An application behind a real uvicorn on a free port of loopback, in the event loop of the test."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from typing import Any, Literal

import anyio
import uvicorn

from legato import Legato
from legato.web.auth import Authenticate
from legato.web.connection import Connection


class _Server(uvicorn.Server):
    """Says when it listens, and leaves the signals to pytest."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = anyio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@asynccontextmanager
async def listening(app: Any, *, lifespan: Literal["on", "off"] = "off") -> AsyncIterator[str]:
    """``app`` at the URL that is yielded, served as ``legato serve`` does it."""
    # The protocol is named, or asyncio would leave Nagle's algorithm on and each response take 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app,
            loop="none",
            http=Connection,
            ws="none",
            lifespan=lifespan,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        server = _Server(config)
        serve = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            with anyio.fail_after(30):
                await server.listening.wait()
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            with anyio.CancelScope(shield=True):
                await serve


@asynccontextmanager
async def serving(chat: Legato, auth: Authenticate | None = None) -> AsyncIterator[str]:
    """A started Legato at the URL that is yielded."""
    async with chat.lifespan(), listening(chat.asgi(auth)) as url:
        try:
            yield url
        finally:
            chat.drain()  # as `legato serve` does: uvicorn would wait for streams that never end
