"""A connection that lets go of peers that are gone, of readers that don't read, and of heads without an end.

For uvicorn, ours and a host application's: ``uvicorn.run(app, http=Connection)``. Nothing is lost by it: what a reader has
not got it gets when it comes back with its last cursor.
"""

import asyncio
import socket
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

# A peer that went without a word is noticed 30 s after its last sign of life: unanswered probes from the 10th second on, or
# (where a heartbeat of the stream went out before) data that nobody acknowledges for 15 s. The second counts also while a
# reader's window is too small for what comes next: who reads too slowly is cut, and comes back.
_KEEP_ALIVE: Final = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 15_000))

#: How long a request's line and headers may be, and what follows its body, give or take one read of the socket.
HEAD_BYTES: Final = 64 * 1024
_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
    b"Content-Length: %d\r\n\r\n%s"
)
_PROBLEM: Final = (
    b'{"type":"about:blank","title":"Request Header Fields Too Large","status":431,"code":"headers_too_large",'
    b'"detail":"The request line and headers may have 64 KiB."}'
)

#: How long a reader may take nothing while 64 KiB wait for it.
STALLED_S: Final = 30.0


class Connection(HttpToolsProtocol):
    """uvicorn's, with an end for those who are not there."""

    _stalled: asyncio.TimerHandle | None = None
    _unheard = 0  # bytes since the application was given something: of a head, or of what may follow a body (trailers)
    _in_head = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        super().connection_made(transport)
        peer = transport.get_extra_info("socket")
        if peer is not None and peer.family in (socket.AF_INET, socket.AF_INET6):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEP_ALIVE:
                if hasattr(socket, name):  # Linux has all of them
                    peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def data_received(self, data: bytes) -> None:
        self._unheard += len(data)
        super().data_received(data)
        if self._unheard > HEAD_BYTES and not self.transport.is_closing():
            self._refuse()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        self._in_head, self._unheard = False, 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unheard = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unheard = 0
        super().on_message_complete()

    def _refuse(self) -> None:
        """The parser would keep whatever comes, of somebody whom nobody knows yet."""
        cycle: RequestResponseCycle | None = self.cycle
        if self._in_head and (cycle is None or cycle.response_complete):
            self.transport.write(_TOO_LARGE % (len(_PROBLEM), _PROBLEM))
            self.transport.close()
        else:  # there is or was an answer to this request, or to the one before
            self.transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look_again()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forgive()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forgive()
        super().connection_lost(exc)

    def _look_again(self) -> None:
        self._stalled = self.loop.call_later(STALLED_S, self._look, self.transport.get_write_buffer_size())

    def _look(self, waited: int) -> None:
        """Nothing has been added meanwhile, as writing is paused: what is as much as before has not been taken."""
        if self.transport.get_write_buffer_size() < waited:
            self._look_again()
        else:
            self.transport.abort()

    def _forgive(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
