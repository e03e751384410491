"""The live readers of one process.

Nobody is handed anything: a reader has a position and takes what lies between it and the head, from the shared window of
what was committed last, or from the store when it is further behind. So a slow reader costs nothing but its own lateness,
and there is no gap between replay and live to get wrong. Events are encoded once a row, not once a reader.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from legato.core.errors import Corrupted
from legato.core.sse import encode_row
from legato.engine.tasks import Tasks
from legato.store import journal
from legato.store.port import Row, Store

WINDOW_BYTES: Final = 256 * 1024
FIRST_BYTES: Final = 8 * 1024  # what somebody who comes back is given at once
_CHUNK_BYTES: Final = (
    64 * 1024
)  # what one send carries, give or take a row: all that a reader who stops reading may cost


class Chunk:
    """Frames from right after a position up to ``last_seq``."""

    __slots__ = ("frames", "last_seq")

    def __init__(self, frames: bytes, last_seq: int) -> None:
        self.frames = frames
        self.last_seq = last_seq


class Channel:
    """One session that somebody in this process follows."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.readers = 0
        self.gone = False  # the session was deleted
        self.head = 0  # the highest seq known to be committed
        self.fetching = False
        self.asked_again = False
        self._window: list[tuple[int, int, bytes]] = []  # a deque would cost an idle channel 600 bytes
        self._bytes = 0
        self._moved = False  # since it was last looked at
        self._joined: tuple[int, Chunk] | None = None  # what was taken last: most readers are at the same place
        self.waiting: set[asyncio.Future[None]] = set()

    def push(self, row: Row, incarnation: str) -> None:
        """A row was committed. Out of order or after a gap the window begins anew; who misses something asks the store."""
        end = self._window[-1][1] if self._window else 0
        if row.last_seq <= end:
            return
        if row.first_seq != end + 1 or _buries(row.payload):
            self._window.clear()
            self._bytes = 0
        frames = encode_row(incarnation, row.first_seq, row.payload)
        self._window.append((row.first_seq, row.last_seq, frames))
        self._bytes += len(frames)
        self._joined, self._moved = None, True
        while self._bytes > WINDOW_BYTES and len(self._window) > 1:
            self._bytes -= len(self._window.pop(0)[2])
        self.reach(row.last_seq)

    def reach(self, seq: int) -> None:
        """The journal goes at least this far."""
        if seq > self.head:
            self.head = seq
            self.notify()

    def end(self) -> None:
        """Nobody may read this session any more."""
        self.gone = True
        self._window, self._bytes, self._joined = [], 0, None
        self.notify()

    def notify(self) -> None:
        waiting, self.waiting = self.waiting, set()
        for waiter in waiting:
            _wake(waiter)

    def rest(self) -> None:
        """Hold nothing where nothing happens: whoever is still behind reads the store."""
        if not self._moved:
            self._window, self._bytes, self._joined = [], 0, None
        self._moved = False

    def after(self, position: int) -> Chunk | None:
        """What the window has right after ``position``; None when it doesn't reach back that far, or no further."""
        if self._joined is not None and self._joined[0] == position:
            return self._joined[1]
        found: list[tuple[int, int, bytes]] = []
        for row in reversed(self._window):  # readers are near its end: seldom more than a step
            first_seq, last_seq, _ = row
            if last_seq <= position:
                break
            if first_seq <= position:
                return None  # in the middle of a row, which the store cuts
            found.append(row)
            if first_seq == position + 1:
                chunk = _join(reversed(found))
                self._joined = position, chunk
                return chunk
        return None


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


def _join(rows: Iterable[tuple[int, int, bytes]]) -> Chunk:
    """The first of these rows that make a chunk."""
    pieces: list[bytes] = []
    size = end = 0
    for _, last_seq, frames in rows:
        pieces.append(frames)
        size, end = size + len(frames), last_seq
        if size >= _CHUNK_BYTES:
            break
    return Chunk(b"".join(pieces), end)


def _buries(payload: bytes) -> bool:
    """Whether something was cleared or rolled back: what the window holds of it must not be told any more.

    Words can't look like these marks, as their quotes are escaped; what else does costs a look into the store.
    """
    return b'"op":"removed"' in payload or b'snapshot {"state"' in payload


class Reader:
    """One follower of a session. ``position`` is the last seq that it was given."""

    def __init__(self, *, hub: "Hub", channel: Channel, position: int) -> None:
        self.position = position
        self._hub = hub
        self._channel = channel
        self._replayed = False
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def stopped(self) -> bool:
        """Whether there is nothing more to come here: the hub stops, or the session was deleted."""
        return self._hub.stopped or self._channel.gone

    async def next(self, timeout_s: float) -> Chunk | None:
        """More frames; None when there was nothing for ``timeout_s``, or the reader is stopped.

        Raises:
            Corrupted, Unavailable.
        """
        chunk = self._channel.after(self.position)
        if chunk is None:
            chunk = await self._look()
        if chunk is None and not self.stopped:
            await self._news(timeout_s)
            chunk = self._channel.after(self.position) or await self._look()
        if chunk is None or self.stopped:
            return None
        self.position = chunk.last_seq
        return chunk

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    async def _news(self, timeout_s: float) -> None:
        """Wait until there is more, which may have come while the caller looked elsewhere.

        One timer a reader, which looks whether it is still due: one a wait costs more than the wait.
        """
        channel = self._channel
        if channel.head > self.position:
            return
        self._waiter = waiter = self._loop.create_future()
        channel.waiting.add(waiter)
        self._due_s = self._loop.time() + timeout_s
        if self._timer is None or self._timer.when() > self._due_s:
            self._arm()
        try:
            await waiter
        finally:
            self._waiter = None
            channel.waiting.discard(waiter)

    def _arm(self) -> None:
        self.close()
        self._timer = self._loop.call_at(self._due_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if self._loop.time() < self._due_s:
            self._arm()
        else:
            _wake(self._waiter)

    async def _look(self) -> Chunk | None:
        """Into the store, where the window does not reach."""
        if self.stopped or (self._replayed and self._channel.head <= self.position):
            return None
        chunk = await self._hub.replay(self._channel, self.position)
        self._replayed = chunk is None
        return chunk


class Hub:
    """The channels of this process."""

    def __init__(self, *, store: Store, tasks: Tasks) -> None:
        self.stopped = False
        self.on_damage: Callable[[str, Corrupted], None] = lambda session_id, error: None
        self._store = store
        self._tasks = tasks
        self._channels: dict[str, Channel] = {}

    @contextlib.contextmanager
    def reader(self, session_id: str, position: int) -> Iterator[Reader]:
        """Follow a session from right after ``position``, which the journal has reached; the caller has authorised it."""
        channel = self._channels.setdefault(session_id, Channel(session_id))
        channel.readers += 1
        channel.reach(position)
        reader = Reader(hub=self, channel=channel, position=position)
        try:
            yield reader
        finally:
            reader.close()
            channel.readers -= 1
            if channel.readers == 0:
                self._channels.pop(session_id, None)

    def committed(self, row: Row) -> None:
        """This process committed a row."""
        if (channel := self._channels.get(row.session_id)) is not None:
            channel.push(row, self._store.incarnation)

    def heard(self, session_ids: Iterable[str] | None) -> None:
        """Another process may have committed something there (None: anywhere)."""
        for session_id in list(self._channels) if session_ids is None else session_ids:
            if (channel := self._channels.get(session_id)) is not None:
                self._fetch(channel)

    def gone(self, session_id: str) -> None:
        """The session was deleted: end its readers, who are not told another word."""
        if (channel := self._channels.get(session_id)) is not None:
            channel.end()

    async def look(self) -> None:
        """Find out by looking what no ring has told."""
        if not self._channels:
            return
        followed = list(self._channels.values())
        heads = await self._store.read(journal.heads, [channel.session_id for channel in followed])
        for channel in followed:
            head = heads.get(channel.session_id)
            if head is None:
                channel.end()
            elif channel.head < head:
                self._fetch(channel)

    async def rest(self) -> None:
        """Let go of what nobody needs any more."""
        for channel in self._channels.values():
            channel.rest()

    def stop(self) -> None:
        """End every reader after what it is sending now."""
        self.stopped = True
        for channel in self._channels.values():
            channel.notify()

    async def replay(self, channel: Channel, position: int) -> Chunk | None:
        """What the store has right after ``position``."""
        chunk = await self.read(channel.session_id, position, _CHUNK_BYTES)
        if chunk is not None:
            channel.reach(chunk.last_seq)
        else:
            await self._end_if_gone(channel)
        return chunk

    async def read(self, session_id: str, position: int, limit_bytes: int) -> Chunk | None:
        """What the store has right after ``position``, about so much of it; the caller has authorised it.

        Raises:
            Corrupted, Unavailable.
        """
        rows = await self._rows(session_id, position, limit_bytes)
        if not rows:
            return None
        rows[0] = after(rows[0], position)
        return Chunk(_encode(self._store.incarnation, rows), rows[-1].last_seq)

    async def _rows(self, session_id: str, position: int, limit_bytes: int) -> list[Row]:
        try:
            return await self._store.read(journal.read_rows, session_id, position, limit_bytes)
        except Corrupted as error:
            self.on_damage(session_id, error)
            raise

    def _fetch(self, channel: Channel) -> None:
        """Read the news of other processes once for all readers of a channel."""
        channel.asked_again = channel.fetching
        if not channel.fetching:
            channel.fetching = True
            self._tasks.spawn(self._fetching(channel), "hub fetch")

    async def _fetching(self, channel: Channel) -> None:
        try:
            while True:
                channel.asked_again = False
                rows = await self._rows(channel.session_id, channel.head, _CHUNK_BYTES)
                for row in rows:
                    channel.push(after(row, channel.head), self._store.incarnation)
                if not rows and not channel.asked_again:
                    await self._end_if_gone(channel)
                    return
        finally:
            channel.fetching = False

    async def _end_if_gone(self, channel: Channel) -> None:
        """Where there is no news: it may be that the session is not there any more, and nobody here was told."""
        if not await self._store.read(journal.heads, [channel.session_id]):
            channel.end()


def _encode(incarnation: str, rows: Sequence[Row]) -> bytes:
    """The frames of rows that follow each other. They touch and read as one, where none is the one empty line of many seqs."""
    frames: list[bytes] = []
    together: list[bytes] = []
    first_seq = 0
    for row in rows:
        if row.payload:
            first_seq = first_seq if together else row.first_seq
            together.append(row.payload)
        elif together:
            frames.append(encode_row(incarnation, first_seq, b"\n".join(together)))
            together = []
    if together:
        frames.append(encode_row(incarnation, first_seq, b"\n".join(together)))
    return b"".join(frames)


def after(row: Row, position: int) -> Row:
    """The part of a row that lies after ``position``."""
    if row.first_seq > position:
        return row
    lines = row.payload.split(b"\n")[position + 1 - row.first_seq :]
    return row._replace(first_seq=position + 1, payload=b"\n".join(lines))
