"""What the outside got to know about sessions while servers were killed under them: pure data, and what follows from it.

A history is recorded by ``recorder`` and judged by ``checker``. Times are seconds since 1970, by the one clock that the
server, the database and the test share.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from legato.core.cursor import parse_cursor
from legato.core.events import Done, Event, decode_event
from legato.core.model import Message, State, Turn, TurnKind

LOST: Final = "worker_lost"


class Entry(msgspec.Struct, frozen=True):
    """One event as it came over the wire: its cursor, its type, its JSON to the letter; ``at`` is when."""

    cursor: str
    type: str
    data: str
    at: float = 0.0

    @property
    def seq(self) -> int:
        return parse_cursor(self.cursor).seq

    def event(self) -> Event:
        """Raises Corrupted."""
        return decode_event(self.type, self.data)


class Connection(msgspec.Struct, frozen=True):
    """One response of ``…/events``: the seq it was asked to begin after, and what it brought until it broke."""

    after: int
    entries: tuple[Entry, ...] = ()


class Reader(msgspec.Struct, frozen=True):
    """One follower over all its connections, from its first ``after`` to the end of the recording."""

    name: str
    connections: tuple[Connection, ...]

    @property
    def entries(self) -> Iterator[Entry]:
        for connection in self.connections:
            yield from connection.entries


class Numbers(msgspec.Struct, frozen=True):
    """The words ``first … last`` that the upstream was asked for."""

    first: int
    last: int

    @property
    def text(self) -> str:
        return "".join(f"{number} " for number in range(self.first, self.last + 1))


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """A message id, and the turns that were answered to it: one for each time the server acknowledged it."""

    message_id: str
    turn_ids: tuple[str, ...]
    kind: TurnKind = "send"
    numbers: Numbers | None = None


class Cancel(msgspec.Struct, frozen=True):
    """An acknowledged cancel: what it answered, and how far the journal went right after."""

    turn_id: str
    status: str
    reason: str | None
    head: int


class Snapshot(msgspec.Struct, frozen=True):
    """State and cursor of one instant, read while the session was alive."""

    state: State
    cursor: str


class Answer(msgspec.Struct, frozen=True):
    """The text that a resuming client had put together when the turn was over."""

    turn_id: str
    text: str


class SessionHistory(msgspec.Struct, frozen=True, kw_only=True):
    """A session: what was seen of it on the way, and from ``journal`` on what stood there at the end (``after=0``)."""

    id: str
    sends: tuple[Send, ...]
    cancels: tuple[Cancel, ...] = ()
    readers: tuple[Reader, ...]
    snapshots: tuple[Snapshot, ...] = ()
    answers: tuple[Answer, ...] = ()
    journal: tuple[Entry, ...]
    final: Snapshot
    messages: tuple[Message, ...]
    turns: tuple[Turn, ...]


class Life(msgspec.Struct, frozen=True):
    """A server process: when it was ready (None: killed before that), and when it was killed (None: not yet)."""

    ready_at: float | None
    killed_at: float | None


class History(msgspec.Struct, frozen=True, kw_only=True):
    """``shared``: the database may have other processes, so that only a death that was watched for a while counts.

    ``refused`` are requests that the strict upstream did not take, ``streaming`` those still open there at the end.
    """

    sessions: tuple[SessionHistory, ...]
    lives: tuple[Life, ...] = ()
    shared: bool = False
    refused: tuple[str, ...] = ()
    streaming: tuple[str, ...] = ()

    @property
    def kills(self) -> int:
        return sum(life.killed_at is not None for life in self.lives)


class Rescue(msgspec.Struct, frozen=True):
    """How long after the restart an orphaned turn ended (``ended_s``), and how long until a reader heard it."""

    turn_id: str
    ended_s: float
    heard_s: float


def rescues(history: History) -> list[Rescue]:
    """The rescue of every turn that lost its owner."""
    return [
        _rescue(history, session, turn, event)
        for session in history.sessions
        for entry in session.journal
        if entry.type == Done.event and isinstance(event := entry.event(), Done) and event.reason == LOST
        for turn in session.turns
        if turn.id == event.turn_id
    ]


def delivered(session: SessionHistory) -> int:
    return sum(len(connection.entries) for reader in session.readers for connection in reader.connections)


def lost(session: SessionHistory) -> int:
    """Events of the journal that readers who followed to the end never got."""
    return sum(len(_expected(session, reader) - {entry.seq for entry in reader.entries}) for reader in session.readers)


def doubled(session: SessionHistory) -> int:
    """Events that a reader got more than once."""
    return sum(len(seqs) - len(set(seqs)) for seqs in ([e.seq for e in reader.entries] for reader in session.readers))


def dangling(session: SessionHistory) -> list[str]:
    """Turns that were accepted and have no end."""
    return [turn.id for turn in session.turns if turn.status in ("queued", "in_progress")]


def _expected(session: SessionHistory, reader: Reader) -> set[int]:
    begin = reader.connections[0].after if reader.connections else 0
    return {entry.seq for entry in session.journal if entry.seq > begin}


def _rescue(history: History, session: SessionHistory, turn: Turn, done: Done) -> Rescue:
    orphaned_at = _orphaned_at(history, turn)
    ended_at = done.finished_at.timestamp()
    heard_at = min((e.at for e in _heard(session, done.turn_id)), default=ended_at)
    return Rescue(turn.id, _waited(history, orphaned_at, ended_at), _waited(history, orphaned_at, heard_at))


def _heard(session: SessionHistory, turn_id: str) -> Iterator[Entry]:
    for reader in session.readers:
        for entry in reader.entries:
            if entry.type == Done.event and isinstance(event := entry.event(), Done) and event.turn_id == turn_id:
                yield entry


def _orphaned_at(history: History, turn: Turn) -> float:
    started_at = (turn.started_at or turn.created_at).timestamp()
    killed = [life.killed_at for life in history.lives if life.killed_at is not None]
    return min((at for at in killed if at > started_at), default=started_at)


def _waited(history: History, since: float, until: float) -> float:
    """The time from ``since`` to ``until`` in which a server was up that could have done something.

    On a shared database each process must first have watched the dead one for a while: only the last one's time counts.
    """
    spans = [
        max(0.0, min(until, life.killed_at or until) - max(since, life.ready_at))
        for life in history.lives
        if life.ready_at is not None and life.ready_at <= until
    ]
    return sum(spans[-1:] if history.shared else spans)
