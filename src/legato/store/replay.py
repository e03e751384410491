"""A session's journal read from its beginning, past what is damaged: what the projections should say. For the doctor.

A *hole* is a range of seqs whose events nobody can know: a row is missing, does not match its checksum, or says another number
of events than its seqs are. What was told after the last hole can be trusted whole, whatever was before.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, select

from legato.core.errors import Corrupted
from legato.core.events import Done, Event, MessageEvent, SessionEvent, Snapshot, TurnEvent, UsageEvent, decode_lines
from legato.core.fold import Fold
from legato.core.model import Message, Turn
from legato.core.states import is_terminal
from legato.store.journal import payload_crc
from legato.store.schema import journal


class Hole(NamedTuple):
    """Seqs, and why their events can't be known."""

    first: int
    last: int
    why: str


class Replay:
    """The whole journal of a session.

    ``reached`` is its last seq, ``epochs`` are those that turns have spoken in. ``session_seq``, ``message_seqs`` and
    ``turn_seqs`` say since when each is known. ``endings`` may be all that is left of a turn: nobody knows what it was.
    """

    def __init__(self) -> None:
        self.fold = Fold()
        self.holes: list[Hole] = []
        self.reached = 0
        self.epochs: dict[str, int] = {}
        self.session_seq = 0
        self.leaf_seq = 0
        self.message_seqs: dict[str, int] = {}
        self.turn_seqs: dict[str, int] = {}
        self.start_seqs: dict[str, int] = {}
        self.done_seqs: dict[str, int] = {}
        self.dones: dict[int, str] = {}
        self.ended: dict[str, Turn] = {}
        self.endings: dict[str, tuple[UsageEvent | None, Done]] = {}
        self.imported: set[str] = set()
        self._as_told: dict[str, Message] = {}
        self._usage: UsageEvent | None = None

    def take(self, found: Any) -> None:
        """The next row."""
        try:
            events = _events(found, self.reached)
        except Corrupted as error:
            self.holes.append(Hole(found.first_seq, found.last_seq, error.message))
            return
        if found.first_seq > self.reached + 1:
            self._miss(found.first_seq - 1)
        for seq, event in events:
            self._see(seq, event)
        self._began([event for _, event in events], found.last_seq)
        self.reached = found.last_seq
        if found.turn_id is not None and found.epoch is not None:
            self.epochs[found.turn_id] = max(found.epoch, self.epochs.get(found.turn_id, 0))

    def _miss(self, last: int) -> None:
        """What no hole accounts for yet."""
        first = self.reached + 1
        if not any(hole.first <= first and hole.last >= last for hole in self.holes):
            self.holes.append(Hole(first, last, "missing"))

    def _see(self, seq: int, event: Event) -> None:
        fold = self.fold
        match event:
            case MessageEvent() if event.message is not None:
                self.message_seqs.setdefault(event.message_id, seq)
                self._as_told[event.message_id] = event.message
            case TurnEvent():
                self.turn_seqs.setdefault(event.turn.id, seq)
                if is_terminal(event.turn.status):
                    self.ended[event.turn.id] = event.turn
            case SessionEvent():
                self.session_seq = seq
            case Snapshot() if event.state is not None:
                self._anew(seq, event)
            case UsageEvent():
                self._usage = event
            case Done():
                self.done_seqs[event.turn_id] = seq
                self.dones[seq] = event.turn_id
        fold.apply(event)
        if isinstance(event, Done):
            self._end(event)

    def _anew(self, seq: int, event: Snapshot) -> None:
        """Everything stands in this one event: nothing that was before counts any more."""
        self.session_seq = self.leaf_seq = seq
        self.message_seqs, self._as_told = {}, {}
        for message in event.state.messages if event.state else ():
            self.message_seqs[message.id], self._as_told[message.id] = seq, message
        for turn in event.state.turns if event.state else ():
            self.turn_seqs.setdefault(turn.id, seq)
            if is_terminal(turn.status):
                self.ended[turn.id] = turn

    def _end(self, event: Done) -> None:
        usage = self._usage if self._usage is not None and self._usage.turn_id == event.turn_id else None
        self.endings[event.turn_id] = usage, event
        if (turn := self.fold.turns.get(event.turn_id)) is not None:
            self.ended[event.turn_id] = turn

    def _began(self, events: list[Event], last_seq: int) -> None:
        """A claim tells of the turn and of its empty answer in one row: the turn's own events begin after it.

        An imported turn has all of its life in one row.
        """
        added = {event.message_id for event in events if isinstance(event, MessageEvent) and event.op == "added"}
        done = {event.turn_id for event in events if isinstance(event, Done)}
        takes_back = any(isinstance(event, MessageEvent) and event.op == "removed" for event in events)
        for turn in [event.turn for event in events if isinstance(event, TurnEvent)]:
            if turn.id in done or is_terminal(turn.status):
                self.done_seqs[turn.id] = last_seq
                if not takes_back and turn.id not in self.start_seqs:
                    self.imported.add(turn.id)
            elif turn.status == "in_progress" and turn.answer_id in added:
                self.start_seqs.setdefault(turn.id, last_seq)

    def cleared(self, seq: int) -> None:
        """What was told up to there is being taken away: nobody misses any of it."""
        self.holes = [hole for hole in self.holes if hole.last > seq]

    def turns(self) -> dict[str, Turn]:
        """Every turn that is known whole, as its row should say."""
        open_ones = {id_: turn for id_, turn in self.fold.turns.items() if not is_terminal(turn.status)}
        return {
            id_: msgspec.structs.replace(turn, phase=None, detail=None)
            for id_, turn in (self.ended | open_ones).items()
        }

    def messages(self) -> dict[str, Message]:
        """Every message, as its row should say: an answer that goes on is told by its events alone."""
        return {id_: message for id_ in list(self.fold.messages) if (message := self._message(id_)) is not None}

    def _message(self, message_id: str) -> Message | None:
        message = self.fold.message(message_id)
        if message is not None and message.status == "in_progress":
            message = self._as_told.get(message_id, message)
        if message is not None and message.parent_id in self.fold.gone:
            message = msgspec.structs.replace(message, parent_id=None)
        return message


def _events(found: Any, reached: int) -> list[tuple[int, Event]]:
    """Raises Corrupted: this is not the row that was written."""
    payload = bytes(found.payload)
    if payload_crc(found.session_id, payload) != found.crc:
        raise Corrupted("the row does not match its checksum")
    if found.first_seq <= reached:
        raise Corrupted("the row's seqs are another row's")
    if payload and payload.count(b"\n") != found.last_seq - found.first_seq:
        raise Corrupted("the row has another number of events than seqs")
    return list(decode_lines(found.first_seq, payload))


def replay(conn: Connection, session_id: str) -> Replay:
    """Read all of a session's journal."""
    told = Replay()
    for found in _rows(conn, session_id):
        told.take(found)
    return told


def _rows(conn: Connection, session_id: str) -> Iterator[Any]:
    after = -1
    while rows := conn.execute(_ROWS, {"session_id": session_id, "after": after}).all():
        yield from rows
        after = rows[-1].last_seq


_ROWS: Final = (
    select(journal)
    .where(journal.c.session_id == bindparam("session_id"), journal.c.last_seq > bindparam("after"))
    .order_by(journal.c.last_seq)
    .limit(500)
)
