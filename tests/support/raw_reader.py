"""A follower without a client: a socket that is read when the test says so, and what its bytes say.

Its receive buffer is small, and its segments are those of an ethernet: on loopback a segment has 64 KB, and the server's kernel
would take megabytes for each reader before the server itself notices that nobody reads.
"""

import asyncio
import socket
from types import TracebackType
from typing import Final, Self

from legato.core.sse import Frame, Parser

_RECEIVE_BYTES: Final = 4096
_SEGMENT_BYTES: Final = 1460
_WITHIN_S: Final = 30.0
_PIECE_BYTES: Final = 65_536


class RawReader:
    """Asks for ``path`` and reads nothing by itself. ``raw`` is what was read so far."""

    def __init__(
        self, host: str, port: int, path: str, *, token: str | None = None, made: socket.socket | None = None
    ) -> None:
        self.raw = bytearray()
        self.ended = False
        self._socket = made or socket.socket()
        self._socket.settimeout(_WITHIN_S)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT_BYTES)
        self._socket.connect((host, port))
        login = f"Authorization: Bearer {token}\r\n" if token else ""
        head = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: text/event-stream\r\n{login}\r\n"
        self._socket.sendall(head.encode())
        self._socket.setblocking(False)

    @property
    def address(self) -> tuple[str, int]:
        """Its end of the connection."""
        host, port = self._socket.getsockname()
        return str(host), int(port)

    async def take(self, most: int) -> None:
        """Some bytes, once some are there; ``ended`` is set when none can come any more."""
        try:
            piece = await asyncio.get_running_loop().sock_recv(self._socket, most)
        except ConnectionError:
            piece = b""
        self.raw += piece
        self.ended = not piece

    async def take_all(self) -> None:
        """Everything until the connection ends."""
        while not self.ended:
            await self.take(_PIECE_BYTES)

    def frames(self) -> list[Frame]:
        """The whole events among what was read."""
        return Parser().feed(_body(bytes(self.raw)))

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _body(raw: bytes) -> bytes:
    """What the chunks of a response carry, as far as it came."""
    pieces: list[bytes] = []
    at = raw.find(b"\r\n\r\n") + 4
    while (line := raw.find(b"\r\n", at)) > 0 and (size := int(raw[at:line], 16)):
        pieces.append(raw[line + 2 : line + 2 + size])
        at = line + 2 + size + 2
    return b"".join(pieces)
