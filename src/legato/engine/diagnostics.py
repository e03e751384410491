"""What this process measures of itself (promise E-09; ``core.diagnostics`` has what it tells).

In the event loop alone, where things end anyway: nothing lies on the way of a token, and nothing is written. Numbers are of the
whole process and name nobody. An end is an owner's and is shown to nobody else; whose a session is, or whether it is there any
more, is asked of the store when somebody looks.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Generic, TypeVar

import msgspec

from legato.core.diagnostics import (
    REASONS,
    ClientCode,
    DiagnosticsReport,
    Ends,
    EndsMinute,
    Latency,
    OpenMinute,
    OpenStreams,
    OpenTurns,
    ServerCode,
    SpreadMinute,
    StreamEnd,
)
from legato.core.errors import Busy, LegatoError
from legato.core.events import Done, decode_event, split_lines
from legato.core.measures import Durations, Level, Tally
from legato.core.states import TerminalStatus
from legato.engine.tasks import log
from legato.store import sessions
from legato.store.port import Row, Store

T = TypeVar("T")

_KEPT: Final = 500  # of the server's ends, and as many of the clients'
_REPORTS_A_MINUTE: Final = 300  # of one owner's clients
_OLDEST: Final = timedelta(days=1)
_CODES: Final[dict[TerminalStatus, ServerCode]] = {
    "completed": "stream.completed",
    "cancelled": "stream.cancelled",
    "failed": "stream.error",
    "incomplete": "stream.incomplete",
}


class _Kept(msgspec.Struct, frozen=True):
    """``owner`` None: whoever has the session."""

    owner: str | None
    minute: int
    end: StreamEnd


class Diagnostics:
    """``monotonic_s`` tells how long things take and, from ``clock_s`` at the beginning on, which minute it is."""

    def __init__(
        self, *, clock_s: Callable[[], float] = time.time, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.stopping = False
        self._clock_s = clock_s
        self._monotonic_s = monotonic_s
        self._zero_s = clock_s() - monotonic_s()
        self._started_at = self._at()
        self._sessions, self._lists, self._running = Level(), Level(), Level()
        self._stream_ends, self._turn_ends = Tally(), Tally()
        self._first_token, self._commit, self._rescue = Durations(), Durations(), Durations()
        self._told: deque[_Kept] = deque(maxlen=_KEPT)
        self._reported: deque[_Kept] = deque(maxlen=_KEPT)

    def run(self, by: int) -> None:
        """A turn runs here (1), or no more (-1)."""
        self._running.change(self._minute(), by)

    def heard(self, seconds: float) -> None:
        """The first words of a turn are there, so long after it was accepted."""
        self._first_token.add(self._minute(), seconds)

    def committed(self, seconds: float) -> None:
        """What running turns have said is on disk, after so long."""
        self._commit.add(self._minute(), seconds)

    def rescued(self, session_id: str, turn_id: str, seconds: float, *, again: bool) -> None:
        """A dead process's turn was ended, or will be tried ``again``, so long after that process was known to live."""
        self._rescue.add(self._minute(), seconds)
        if again:
            self._tell("turn", "stream.reconciled", "tried_again", session_id=session_id, turn_id=turn_id)

    def ended(self, rows: Iterable[Row]) -> None:
        """What was committed beside the words of running turns: some may have ended by it."""
        for row in rows:
            for _, name, data in split_lines(row.first_seq, row.payload):
                if name == b"done" and isinstance(done := decode_event("done", data), Done):
                    self._count(done.reason)
                    code = "stream.reconciled" if done.reason == "worker_lost" else _CODES[done.status]
                    self._tell("turn", code, done.reason, session_id=row.session_id, turn_id=done.turn_id)

    def deleted(self, turn_ids: Iterable[str]) -> None:
        """Turns were cancelled with their session; of that nobody is told any more."""
        for _ in turn_ids:
            self._count("deleted")
            self._stream_ends.add(self._minute(), "stream.cancelled")

    def stream(
        self, followed: AbstractContextManager[T], owner: str, session_id: str | None = None
    ) -> AbstractContextManager[T]:
        """The same; as long as it is open it counts as a stream, of a session or of the list."""
        return _Stream(self, followed, owner, session_id)

    def open(self, session_id: str | None, by: int) -> None:
        (self._lists if session_id is None else self._sessions).change(self._minute(), by)

    def closed(self, owner: str, session_id: str | None, error: BaseException | None) -> None:
        """A stream's response is over: by itself, broken, or because its reader went."""
        match error:
            case None:
                code, reason = "stream.closed", "stopping" if self.stopping else None
            case LegatoError():
                code, reason = "stream.error", error.code
            case _:
                code, reason = "stream.abandoned", None
        self._tell("list" if session_id is None else "session", code, reason, owner=owner, session_id=session_id)

    def report(self, owner: str, ends: Sequence[tuple[ClientCode, str | None, datetime]]) -> None:
        """What an owner's clients say: codes with session and time, of which those of the last day are believed.

        Raises:
            Busy: they say too much.
        """
        minute, now = self._minute(), self._at()
        recent = sum(1 for kept in self._reported if kept.owner == owner and kept.minute == minute)
        if recent + len(ends) > _REPORTS_A_MINUTE:
            raise Busy("So many reports a minute are enough.")
        for code, session_id, at in ends:
            believed = min(max(at, now - _OLDEST), now)
            self._keep(self._reported, owner, StreamEnd(at=believed, what="client", code=code, session_id=session_id))

    def told(self, waiting: int) -> DiagnosticsReport:
        """All numbers, and how many turns wait in the store."""
        minute = self._minute()
        levels = zip(*(level.minutes(minute) for level in (self._sessions, self._lists, self._running)), strict=True)
        return DiagnosticsReport(
            started_at=self._started_at,
            now=self._at(),
            streams=OpenStreams(self._sessions.now, self._lists.now),
            turns=OpenTurns(self._running.now, waiting),
            open=tuple(OpenMinute(_began(at), many, lists, turns) for (at, many), (_, lists), (_, turns) in levels),
            stream_ends=_ends(self._stream_ends, minute),
            turn_ends=_ends(self._turn_ends, minute),
            first_token=_latency(self._first_token, minute),
            commit=_latency(self._commit, minute),
            rescue=_latency(self._rescue, minute),
        )

    async def ends(self, store: Store, owner: str, limit: int) -> list[StreamEnd]:
        """An owner's, the newest first, without those of sessions that are not there any more.

        Raises:
            Unavailable.
        """
        kept = [each for each in (*self._told, *self._reported) if each.owner in (None, owner)]
        asked = sorted({each.end.session_id for each in kept if each.end.session_id is not None})
        owners = await store.read(sessions.owners, asked) if asked else {}
        own = {session_id for session_id, (whose, gone) in owners.items() if whose == owner and not gone}
        found = [each.end for each in kept if each.end.session_id is None or each.end.session_id in own]
        return sorted(found, key=lambda end: end.at, reverse=True)[:limit]

    def _tell(self, what: Any, code: Any, reason: str | None, *, owner: str | None = None, **ids: str | None) -> None:
        self._stream_ends.add(self._minute(), code)
        self._keep(self._told, owner, StreamEnd(at=self._at(), what=what, code=code, reason=reason, **ids))

    def _keep(self, ring: deque[_Kept], owner: str | None, end: StreamEnd) -> None:
        ring.append(_Kept(owner, self._minute(), end))
        ids = " ".join(each for each in (end.what, end.session_id, end.turn_id) if each is not None)
        log.info("[chat-stream] %s %s %s", end.code, ids, end.reason or "")

    def _count(self, reason: str) -> None:
        self._turn_ends.add(self._minute(), reason if reason in REASONS else "other")

    def _minute(self) -> int:
        return int((self._zero_s + self._monotonic_s()) // 60)

    def _at(self) -> datetime:
        return datetime.fromtimestamp(self._clock_s(), UTC)


class _Stream(Generic[T]):
    """A hundred bytes, as an open stream is to hold no more than it must."""

    __slots__ = ("_diagnostics", "_followed", "_owner", "_session_id")

    def __init__(
        self, diagnostics: Diagnostics, followed: AbstractContextManager[T], owner: str, session_id: str | None
    ) -> None:
        self._diagnostics = diagnostics
        self._followed = followed
        self._owner = owner
        self._session_id = session_id

    def __enter__(self) -> T:
        self._diagnostics.open(self._session_id, 1)
        return self._followed.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._diagnostics.open(self._session_id, -1)
        self._diagnostics.closed(self._owner, self._session_id, error)
        return self._followed.__exit__(kind, error, trace)


def _began(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC)


def _latency(measured: Durations, now: int) -> Latency:
    minutes = tuple(SpreadMinute(_began(minute), spread) for minute, spread in measured.minutes(now))
    return Latency(measured.total(now), minutes)


def _ends(counted: Tally, now: int) -> Ends:
    return Ends(counted.total(now), tuple(EndsMinute(_began(at), dict(counts)) for at, counts in counted.minutes(now)))
