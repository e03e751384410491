"""A connection that lets go of peers that are gone and of readers that don't read.

For uvicorn, ours and a host application's: ``uvicorn.run(app, http=Connection)``. Nothing is lost by it: what a reader has
not got it gets when it comes back with its last cursor.

Not ``TCP_USER_TIMEOUT``: Linux counts it from when a reader's window closed, and cuts whoever reads less than the sender's
next segment at a time, however steadily (measured: 2 KB a second, cut after 15 s). What counts is what is acknowledged.
"""

import asyncio
import socket
import struct
import sys
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Whoever goes without a word while nothing is said is noticed after 25 s by the kernel; while something is (a stream's
# heartbeat comes every 15 s), by us 15 s after that: 30 s in the worst case.
_KEEP_ALIVE: Final = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))

LOOK_S: Final = 3.0
#: How long what was sent may find nobody to acknowledge it.
GONE_S: Final = 12.0
#: How long a reader may take nothing while something waits for it.
STALLED_S: Final = 30.0

_AT_ONCE: Final = 200  # connections, for a millisecond: others want the loop too
_RESET: Final = struct.pack("ii", 1, 0)  # what the kernel still holds goes too, instead of being offered for minutes
# struct tcp_info of Linux: the counters that are wanted, and what lies between them.
_TCP_INFO: Final = struct.Struct("=24xI92xQ16xI")


class _Waiting(NamedTuple):
    """What the kernel knows: segments on their way, bytes acknowledged so far, bytes that the peer has no room for yet."""

    unacknowledged: int
    acknowledged: int
    unsent: int


class Connection(HttpToolsProtocol):
    """uvicorn's, with an end for those who are not there."""

    _acknowledged = -1  # when it was last seen to take something, or to have got everything (-1)
    _since_s = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        super().connection_made(transport)
        peer = transport.get_extra_info("socket")
        if peer is not None and peer.family in (socket.AF_INET, socket.AF_INET6):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEP_ALIVE:
                if hasattr(socket, name):  # Linux has all of them
                    peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
            if sys.platform == "linux":
                _rounds(self).begin()

    def look(self) -> None:
        """Let go of the peer if it has taken nothing for too long."""
        try:
            with _Borrowed(self.transport) as peer:
                waiting = _Waiting(
                    *_TCP_INFO.unpack(peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))
                )
                if self._takes_nothing(waiting):
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    self.transport.abort()
        except OSError:  # it was closed in this very moment
            return

    def _takes_nothing(self, waiting: _Waiting) -> bool:
        if not (waiting.unacknowledged or waiting.unsent):
            self._acknowledged = -1
        elif waiting.acknowledged != self._acknowledged:
            self._acknowledged, self._since_s = waiting.acknowledged, self.loop.time()
        else:
            return self.loop.time() - self._since_s >= (GONE_S if waiting.unacknowledged else STALLED_S)
        return False


class _Borrowed:
    """The socket of a transport, for as long as it takes to ask it something. (uvloop's own stand-in copies it each time.)"""

    def __init__(self, transport: asyncio.Transport) -> None:
        peer = transport.get_extra_info("socket")
        self._socket = socket.socket(peer.family, peer.type, peer.proto, peer.fileno())

    def __enter__(self) -> socket.socket:
        return self._socket

    def __exit__(self, *_: object) -> None:
        self._socket.detach()


class _Rounds:
    """Looks after all connections of a server in turn: a timer each would cost an idle one more than this does."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connections: set[HttpToolsProtocol]) -> None:
        self._loop = loop
        self._connections = connections
        self._left: list[HttpToolsProtocol] = []
        self._goes = False

    def begin(self) -> None:
        if not self._goes:
            self._goes = True
            self._loop.call_later(LOOK_S, self._round)

    def _round(self) -> None:
        self._left = list(self._connections)
        self._some()

    def _some(self) -> None:
        for connection in self._left[-_AT_ONCE:]:
            if isinstance(connection, Connection) and connection in self._connections:
                connection.look()
        del self._left[-_AT_ONCE:]
        self._goes = bool(self._left or self._connections)
        if self._left:
            self._loop.call_soon(self._some)
        elif self._goes:
            self._loop.call_later(LOOK_S, self._round)


_ROUNDS: Final[WeakKeyDictionary[object, _Rounds]] = WeakKeyDictionary()


def _rounds(connection: Connection) -> _Rounds:
    """Those of the server that has this connection."""
    state = connection.server_state
    if (rounds := _ROUNDS.get(state)) is None:
        rounds = _ROUNDS[state] = _Rounds(connection.loop, connection.connections)  # type: ignore[arg-type]
    return rounds
