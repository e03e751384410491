"""The clients: raw protocols that send a turn, read its stream, and check that every word came once and in order."""

import asyncio
import re
import time
from typing import Final, cast

from bench.upstream import MAX_WORDS, WORD_BYTES, WORDS, Flow

_TEXT: Final = b"".join(WORDS)
_ENDING: Final = b"\r\n0\r\n\r\n"
#: The text of a token event, as Legato and as the references write it.
LEGATO_TOKEN: Final = re.compile(rb'event: token\ndata: [^\n]*?"kind":"text","text":"([^"]*)"\}\n\n')
REFERENCE_TOKEN: Final = re.compile(rb'event: token\ndata: \{"text": ?"([^"]*)"\}\n\n')


class Broken(Exception):
    """A stream lost, doubled or disordered something, or did not end as it should: no number of this run counts."""


class Reading:
    """One reader of one answer."""

    def __init__(self, flow: Flow, token: re.Pattern[bytes], *, leads: bool = True) -> None:
        self.flow = flow
        self.token = token
        self.leads = leads  # its progress is what the model waits for
        self.sent_at = 0.0
        self.first_at = 0.0
        self.ended_at = 0.0
        self.last_at = 0.0
        self.worst_gap_s = 0.0  # between words, since whoever looks at it has set it to 0
        self.words = 0
        self.events = 0

    def feed(self, frames: bytes, counts: "Counts") -> None:
        """Whole frames."""
        texts = self.token.findall(frames)
        if not texts:
            return
        now = time.perf_counter()
        if not self.first_at:
            self.first_at = self.last_at = now
        self.worst_gap_s = max(self.worst_gap_s, now - self.last_at)
        self.last_at = now
        text = texts[0] if len(texts) == 1 else b"".join(texts)
        at = self.words * WORD_BYTES
        if not _TEXT.startswith(text, at) or len(text) % WORD_BYTES:
            raise Broken(f"after {self.words} words came {text[:60]!r} instead of {_TEXT[at : at + 60]!r}")
        words = len(text) // WORD_BYTES
        self.words += words
        self.events += len(texts)
        counts.words += words
        counts.events += len(texts)


class Counts:
    """What all readers together were given."""

    def __init__(self) -> None:
        self.words = 0
        self.events = 0
        self.begun = 0  # answers whose first bytes came


class TurnConnection(asyncio.Protocol):
    """A kept-alive connection on which one turn after the other is sent and read."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._transport: asyncio.Transport | None = None
        self._reading: Reading | None = None
        self._ended: asyncio.Future[None] | None = None
        self._rest = b""
        self._begun = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none of asyncio's classes

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(Broken(f"the connection was lost: {exc}"))

    def close(self) -> None:
        self._ended = None
        if self._transport is not None:
            self._transport.close()

    def send(self, request: bytes, reading: Reading) -> "asyncio.Future[None]":
        """Done when the stream has ended."""
        if self._transport is None:
            raise Broken("not connected")
        self._ended = asyncio.get_running_loop().create_future()
        self._reading, self._rest, self._begun = reading, b"", False
        reading.sent_at = time.perf_counter()
        self._transport.write(request)
        return self._ended

    def data_received(self, data: bytes) -> None:
        try:
            self._received(data)
        except Broken as error:
            self._fail(error)

    def _received(self, data: bytes) -> None:
        reading = self._reading
        if reading is None:
            raise Broken(f"unasked: {data[:200]!r}")
        if self._rest:
            data = self._rest + data
        if not self._begun:
            if not data.startswith(b"HTTP/1.1 200 "):
                raise Broken(f"refused: {data[:1000]!r}")
            self._begun = True
            self._counts.begun += 1
        cut = data.rfind(b"\n\n") + 2
        if cut > 1:
            frames, data = data[:cut], data[cut:]
            reading.feed(frames, self._counts)
            if b"event: error" in frames:
                raise Broken(f"an error was told: {frames[-1000:]!r}")
            if reading.leads:
                flow = reading.flow
                flow.delivered = reading.words
                if flow.more is not None:
                    flow.more()
        self._rest = data
        if data.endswith(_ENDING):
            self._end(reading)

    def _end(self, reading: Reading) -> None:
        self._reading = None
        reading.ended_at = time.perf_counter()
        wanted = reading.flow.sent
        if reading.words != wanted or not wanted:
            raise Broken(f"{reading.words} words came of {wanted}")
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    def _fail(self, error: Broken) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(error)


async def connect(port: int, counts: Counts) -> TurnConnection:
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: TurnConnection(counts), "127.0.0.1", port
    )
    return connection


assert len(_TEXT) == MAX_WORDS * WORD_BYTES  # noqa: S101 - what the checks count with
