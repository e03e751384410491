"""A TCP proxy that does to responses what networks do: it cuts them, and breaks them into pieces.

    async with Proxy(server.url, plan) as proxy:
        …                                   # proxy.url; a client names itself by the header ``CLIENT``

A ``plan`` says what becomes of a client's connections, each by its number (0, 1, …).
"""

import asyncio
import re
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal, Self
from urllib.parse import urlsplit

CLIENT: Final = "X-Client"
_NAME: Final = re.compile(rb"\r\nx-client: ([^\r]*)\r\n", re.IGNORECASE)
_PIECE_BYTES: Final = 65_536


@dataclass(frozen=True)
class Fault:
    """Of a connection's response, ``after`` bytes are passed on before it is cut (None: all).

    ``piece`` bytes at a time, and ``pause_s`` between them, for a reader in another process, which would find them joined.
    """

    after: int | None = None
    how: Literal["closed", "reset"] = "closed"
    piece: int | None = None
    pause_s: float = 0.0


Plan = Callable[[str, int], Fault]


class Proxy:
    """In front of the server at ``url``. Counts ``connections`` by client, and the bytes of responses ``passed`` on."""

    def __init__(self, url: str, plan: Plan) -> None:
        self.url = ""
        self.connections: Counter[str] = Counter()
        self.passed: Counter[str] = Counter()
        self._port = urlsplit(url).port
        self._plan = plan
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1024)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut_all()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    def cut_all(self) -> None:
        """Whatever is open now goes."""
        for task in self._open:
            task.cancel()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            # Either side may go at any time, and the test may be over.
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                head = await reader.readuntil(b"\r\n\r\n")
                await self._between(head, reader, writer)
        finally:
            self._open.discard(task)
            writer.close()

    async def _between(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        named = _NAME.search(head)
        client = named[1].decode() if named else ""
        fault = self._plan(client, self.connections[client])
        self.connections[client] += 1
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        to_server.write(head)
        asking = asyncio.ensure_future(_forward(reader, to_server))
        try:
            await self._respond(client, fault, from_server, writer)
        finally:
            asking.cancel()
            to_server.close()
        if fault.how == "reset" and fault.after is not None:
            _reset(writer)

    async def _respond(
        self, client: str, fault: Fault, from_server: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        left = fault.after
        while left is None or left > 0:
            piece = await from_server.read(min(fault.piece or _PIECE_BYTES, _PIECE_BYTES if left is None else left))
            if not piece:
                return
            writer.write(piece)
            await writer.drain()
            if fault.piece:
                await asyncio.sleep(fault.pause_s)  # the next piece goes when this one has been read
            self.passed[client] += len(piece)
            left = None if left is None else left - len(piece)


async def _forward(reader: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
    """What a client says after its first request; when it goes, the server hears that."""
    with suppress(ConnectionError):
        while piece := await reader.read(_PIECE_BYTES):
            to_server.write(piece)
        to_server.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Cuts so that the other side gets an error, and perhaps not even what was sent."""
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()
