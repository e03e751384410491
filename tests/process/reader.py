"""A follower of a session that writes down every connection and every event to the letter."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from time import monotonic, time
from typing import Final

import anyio

from legato.client.http import Http, Notice
from legato.client.patience import Ambient, Patience
from legato.client.position import BEGINNING, Position
from legato.client.stream import Stream
from legato.core.cursor import Cursor
from legato.core.sse import Frame
from tests.process.history import Connection, Entry
from tests.process.history import Reader as Recorded

_MOST_BETWEEN_ATTEMPTS_S: Final = 0.1


async def nap(seconds: float) -> None:
    """A shorter sleep than a server asks for: it is killed every second here."""
    await anyio.sleep(min(seconds, _MOST_BETWEEN_ATTEMPTS_S))


def _unheard(notice: Notice) -> None:
    return None


def open_http(
    url: str, *, sleep: Callable[[float], Awaitable[object]] = nap, notify: Callable[[Notice], None] = _unheard
) -> Http:
    """The client's own way of asking and resuming: impatient, and without a spread of its own."""
    ambient = Ambient(clock=anyio.current_time, sleep=sleep, random=lambda: 0.0)
    patience = Patience(retry_for_s=60)
    return Http(url, token=None, headers=None, patience=patience, ambient=ambient, notify=notify, verify=True)


def events_path(session_id: str) -> str:
    return f"/v1/sessions/{session_id}/events"


class Reader:
    """It resumes by itself, as the project's client does, until it is cancelled; then ``read`` may be called again."""

    def __init__(self, http: Http, session_id: str, *, name: str, after: Cursor | None = None) -> None:
        self._http = http
        self._name = name
        self._path = events_path(session_id)
        self._first = after.seq if after else 0
        self._position = Position(str(after) if after else BEGINNING)
        self.asked_at: list[float] = []  # when each connection was asked for, by the monotonic clock
        self._asked: list[int] = []
        self._entries: list[list[Entry]] = []
        self._news = anyio.Event()

    def move(self, http: Http) -> None:
        """From the next ``read`` on, another server is asked."""
        self._http = http

    @property
    def cursor(self) -> Cursor | None:
        """Everything up to here has been given; None at the beginning."""
        return self._position.cursor

    @property
    def seq(self) -> int:
        return self._position.cursor.seq if self._position.cursor else 0

    async def read(self) -> None:
        """Follows for ever."""
        async with aclosing(Stream(self._http, self._path, self._params).frames()) as frames:
            async for frame in frames:
                self._take(frame)

    async def until(self, seq: int) -> None:
        """Waits until the reader, which somebody lets read, has come to ``seq``."""
        while self.seq < seq:
            await self._news.wait()

    async def until_type(self, kind: str, times: int = 1) -> Entry:
        """Waits until ``times`` events of this type have been given; the last of them."""
        while self.count(kind) < times:
            await self._news.wait()
        return [entry for entries in self._entries for entry in entries if entry.type == kind][times - 1]

    def count(self, kind: str) -> int:
        """How many events of this type have been given."""
        return sum(entry.type == kind for entries in self._entries for entry in entries)

    def recorded(self) -> Recorded:
        pairs = zip(self._asked, self._entries, strict=True)
        connections = tuple(Connection(after, tuple(entries)) for after, entries in pairs)
        return Recorded(self._name, connections or (Connection(self._first),))

    def _params(self) -> Mapping[str, str]:
        """Asked anew for each connection."""
        self.asked_at.append(monotonic())
        self._asked.append(self.seq)
        self._entries.append([])
        return self._position.params()

    def _take(self, frame: Frame) -> None:
        if frame.id is None:
            return
        self._entries[-1].append(Entry(frame.id, frame.event, frame.data, time()))
        self._position.advance(frame)
        news, self._news = self._news, anyio.Event()
        news.set()
