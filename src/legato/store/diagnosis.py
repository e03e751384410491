"""What is damaged in a session, and what of it the journal can restore. Nothing is guessed: where the journal does not tell, a
row is believed if its checksum fits, and left alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final, Literal, TypeVar

import msgspec
from sqlalchemy import Connection, bindparam, func, select

from legato.core.errors import Corrupted
from legato.core.events import Done, UsageEvent
from legato.core.model import Message, Turn
from legato.store import files, legible
from legato.store.importing import session_columns
from legato.store.legible import columns
from legato.store.replay import Hole, Replay, replay
from legato.store.rows import to_json, to_message, to_session, to_turn
from legato.store.schema import approvals, sessions
from legato.store.schema import messages as message_table
from legato.store.schema import turns as turn_table
from legato.store.search_repairs import Entries, differences

T = TypeVar("T")

Place = Literal["journal", "message", "turn", "session", "search", "file"]


class Finding(msgspec.Struct, frozen=True):
    """Something that is damaged, and whether it can be restored."""

    place: Place
    what: str
    restorable: bool = True


class Repairs(msgspec.Struct, frozen=True, kw_only=True):
    """What to write. ``messages`` and ``turns`` come with whether a row is there; the lost ones are ids of rows to remove.

    ``columns`` are further ones of the turns.
    """

    messages: tuple[tuple[Message, bool], ...] = ()
    lost_messages: tuple[str, ...] = ()
    turns: tuple[tuple[Turn, bool], ...] = ()
    columns: Mapping[str, Mapping[str, Any]] = {}
    lost_turns: tuple[str, ...] = ()
    session: Mapping[str, Any] = {}
    entries: Entries = Entries()


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """``marked``: the session is in quarantine. ``messages`` is how many it has."""

    session_id: str
    marked: bool
    findings: tuple[Finding, ...]
    repairs: Repairs
    messages: int

    @property
    def reason(self) -> Place | None:
        """Why the session is to be in quarantine: the first place that is damaged. A file is none (``quarantine``)."""
        return next((finding.place for finding in self.findings if finding.place != "file"), None)

    @property
    def restorable(self) -> bool:
        """Whether nothing remains when the repairs are made."""
        return all(finding.restorable for finding in self.findings)

    @property
    def journal_whole(self) -> bool:
        return not any(finding.place == "journal" for finding in self.findings)


def diagnose(conn: Connection, session_id: str) -> Diagnosis | None:
    """Read all of a session and compare; None where there is none (any more)."""
    row = conn.execute(_SESSION, {"session_id": session_id}).first()
    if row is None or not row.owner:
        return None
    session = legible.row(row)
    told = replay(conn, session_id)
    told.cleared(session.cleared_seq)
    stored = _Stored(conn, session, told)
    tail = session.head > told.reached
    found = _Comparison(session, stored, told, trusted_after=max((hole.last for hole in told.holes), default=0))
    found.look()
    # More seqs were given than there are events: it is the number that is wrong, if nothing else knows of any.
    if tail and (found.findings or told.holes or told.fold.session is None or _runs(told)):
        lost = Hole(told.reached + 1, session.head, "missing")
        found = _Comparison(session, stored, told, trusted_after=session.head, holes=[*told.holes, lost])
        found.look()
    elif tail or session.head < told.reached:
        found.say("session", f"its head is {session.head}, and its journal ends at {told.reached}")
        found.session["head"] = told.reached
    return found.diagnosis(conn)


def _runs(told: Replay) -> bool:
    return any(turn.status == "in_progress" for turn in told.fold.turns.values())


class _Stored:
    """The projections as they are, row by row, whether or not they can be read.

    ``cleared`` are messages that nobody sees any more and ``clearing`` takes away. ``asked`` are the approvals that wait for an
    answer, by their turns.
    """

    def __init__(self, conn: Connection, session: SimpleNamespace, told: Replay) -> None:
        self.messages = _rows(conn, message_table, session.id, told.fold.messages)
        self.turns = _rows(conn, turn_table, session.id, told.turns())
        highest = select(func.max(turn_table.c.epoch)).where(turn_table.c.session_id == session.id)
        self.epoch: int = conn.execute(highest).scalar() or 0
        self.asked = {row.turn_id: row.id for row in map(legible.row, conn.execute(_ASKED, {"session_id": session.id}))}
        self.cleared = [
            id_
            for id_, row in self.messages.items()
            if id_ not in told.fold.messages and self._ended_by(row.turn_id, session.cleared_seq, told)
        ]
        for id_ in self.cleared:
            del self.messages[id_]

    def _ended_by(self, turn_id: str, seq: int, told: Replay) -> bool:
        done_seq = self.turns[turn_id].done_seq if turn_id in self.turns else told.done_seqs.get(turn_id)
        return done_seq is not None and done_seq <= seq


def _rows(conn: Connection, table: Any, session_id: str, wanted: Mapping[str, Any]) -> dict[str, SimpleNamespace]:
    """A session's rows by their ids, and those that should be its own and say they are another's."""
    here = select(*columns(table)).where(table.c.session_id == session_id)
    found = {row.id: row for row in map(legible.row, conn.execute(here))}
    missing = [id_ for id_ in wanted if id_ not in found]
    for at in range(0, len(missing), 500):
        strayed = select(*columns(table)).where(table.c.id.in_(missing[at : at + 500]))
        found |= {row.id: row for row in map(legible.row, conn.execute(strayed))}
    return found


class _Comparison:
    """What the journal tells after ``trusted_after`` against what is stored."""

    def __init__(
        self,
        session: SimpleNamespace,
        stored: _Stored,
        told: Replay,
        *,
        trusted_after: int,
        holes: Sequence[Hole] | None = None,
    ) -> None:
        self.findings: list[Finding] = []
        self.session: dict[str, Any] = {}
        self._row, self._stored, self._told, self._after = session, stored, told, trusted_after
        self._holes = told.holes if holes is None else holes
        self._whole = not self._holes
        self._messages: dict[str, tuple[Message, bool]] = {}
        self._lost_messages: list[str] = []
        self._turns: dict[str, tuple[Turn, bool]] = {}
        self._lost_turns: list[str] = []
        self._columns: dict[str, dict[str, Any]] = {}

    def say(self, place: Place, what: str, *, restorable: bool = True) -> None:
        self.findings.append(Finding(place, what, restorable))

    def look(self) -> None:
        for hole in self._holes:
            self.say("journal", f"seq {hole.first} to {hole.last}: {hole.why}", restorable=False)
        self._look_at_messages()
        self._look_at_turns()
        self._look_at_session()

    def _look_at_messages(self) -> None:
        told = self._told.messages()
        for id_, message in told.items():
            if self._told.message_seqs.get(id_, 0) > self._after:
                self._compare_message(id_, message)
        for id_, row in self._stored.messages.items():
            if id_ not in told and self._whole:
                self._check_unknown_message(row)
            elif self._told.message_seqs.get(id_, 0) <= self._after:
                self._check_message(row, told.get(id_))
        if not self._whole:
            self._look_for_missing()

    def _compare_message(self, id_: str, told: Message) -> None:
        row = self._stored.messages.get(id_)
        stored = None if row is None else _read(to_message, row)
        if row is not None and stored == told and not row.illegible:
            return
        if stored is not None and stored.parts != told.parts:  # nothing rots like that
            self.say("message", f"{id_}: it and the journal fit their checksums, and differ", restorable=False)
            return
        why = "missing" if row is None else "damaged" if stored is None else "not what the journal says"
        self.say("message", f"{id_}: {why}; it is restored")
        self._messages[id_] = told, row is not None

    def _check_unknown_message(self, row: SimpleNamespace) -> None:
        """A checksum is bound to its message's name: where the name has rotted, it fits no more."""
        if _read(to_message, row) is not None:
            self.say("message", f"{row.id}: the journal knows none of this name, and it is whole", restorable=False)
            return
        self.say("message", f"{row.id}: damaged, and the journal knows none of this name; it is removed")
        self._lost_messages.append(row.id)

    def _check_message(self, row: SimpleNamespace, told: Message | None) -> None:
        """Where the journal has holes: what it still says is believed if it fits the checksum of the row."""
        if _read(to_message, row) is not None and not row.illegible:
            return
        said = None if told is None else _read(to_message, _with(row, parts=to_json(told.parts)))
        if said is not None:
            self.say("message", f"{row.id}: damaged; the journal has words that fit its checksum")
            self._messages[row.id] = said, True
        else:
            self.say("message", f"{row.id}: damaged, and so is the journal: its words are lost", restorable=False)

    def _look_for_missing(self) -> None:
        there = self._stored.messages.keys() | self._messages.keys()
        named = {row.parent_id for row in self._stored.messages.values()} | {self._row.leaf_id}
        for id_ in sorted(named - there - {None}):
            self.say("message", f"{id_}: missing, and the journal is damaged: its words are lost", restorable=False)

    def _look_at_turns(self) -> None:
        told = self._told.turns()
        for id_, turn in told.items():
            if self._told.turn_seqs.get(id_, 0) > self._after:
                self._compare_turn(id_, turn)
        for id_, row in self._stored.turns.items():
            if self._told.turn_seqs.get(id_, 0) > self._after and id_ in told:
                continue
            if self._whole and self._is_nobodys(row):
                self.say("turn", f"{id_}: the journal knows none of this name; it is removed")
                self._lost_turns.append(id_)
            elif self._whole and id_ in self._told.endings:
                self._compare_ending(row, *self._told.endings[id_])
            elif _read(to_turn, row) is None:
                self.say("turn", f"{id_}: damaged, and the journal does not tell", restorable=False)

    def _is_nobodys(self, row: SimpleNamespace) -> bool:
        """Whether the journal says that there is no such turn; of one that was cleared or trimmed it may say nothing."""
        if row.status in ("queued", "in_progress"):
            return True
        return row.id not in self._told.endings and row.done_seq in self._told.dones

    def _compare_turn(self, id_: str, told: Turn) -> None:
        row = self._stored.turns.get(id_)
        if row is None:
            self.say("turn", f"{id_}: missing; it is restored")
        else:
            stored = _read(to_turn, row)
            if told.status == "in_progress" and stored is not None:  # written when it ends
                stored, told = (msgspec.structs.replace(each, context=None) for each in (stored, told))
            if stored == told and not self._other_columns(row):
                return
            self.say("turn", f"{id_}: is not what the journal says; it is restored")
        self._turns[id_] = told, row is not None
        self._columns[id_] = self._known_columns(id_, row)

    def _compare_ending(self, row: SimpleNamespace, usage: UsageEvent | None, done: Done) -> None:
        """Only how it ended is left of it in the journal."""
        stored = _read(to_turn, row)
        lost = stored is None
        if stored is None and (stored := _read(to_turn, _with(row, context=None, finished_at=None))) is None:
            self.say("turn", f"{row.id}: damaged, and only its end is left in the journal", restorable=False)
            return
        ended = msgspec.structs.replace(
            stored,
            status=done.status,
            reason=done.reason,
            finished_at=done.finished_at,
            error=done.error,
            text=done.text,
            usage=None if usage is None else usage.usage(),
        )
        if lost or ended != stored or self._other_columns(row):
            self.say("turn", f"{row.id}: its end is not what the journal says; it is restored")
            self._turns[row.id] = ended, True
            self._columns[row.id] = self._known_columns(row.id, row)

    def _known_columns(self, id_: str, row: SimpleNamespace | None) -> dict[str, Any]:
        """What no event says: where the turn begins and ends in the journal (None where it has not, nothing where nobody
        knows), and what can't be read and may as well be nothing."""
        known: dict[str, Any] = {name: None for name in ("locale", "worker_id") if row and name in row.illegible}
        status = self._told.fold.turns[id_].status if id_ in self._told.fold.turns else "ended"
        if row is None and self._ran(id_):
            known["epoch"] = self._told.epochs.get(id_, 0)
        if (start_seq := self._told.start_seqs.get(id_)) is not None or status == "queued":
            known["start_seq"] = start_seq
        if (done_seq := self._told.done_seqs.get(id_)) is not None or status in ("queued", "in_progress"):
            known["done_seq"] = done_seq
        if status == "in_progress":
            known |= self._waits(id_)
        return known

    def _waits(self, id_: str) -> dict[str, Any]:
        """What a turn in progress waits for, which its approvals tell: it is nobody's then."""
        asks = self._stored.asked.get(id_)
        return {"asks": None} if asks is None else {"asks": asks, "worker_id": None}

    def _ran(self, id_: str) -> bool:
        """Whether a turn ever ran here: what was imported did not, and is not billed."""
        return self._told.turns()[id_].attempt > 0 and id_ not in self._told.imported

    def _other_columns(self, row: SimpleNamespace) -> bool:
        return any(getattr(row, name) != value for name, value in self._known_columns(row.id, row).items())

    def _look_at_session(self) -> None:
        told, fold = self._told, self._told.fold
        epoch = max([self._stored.epoch, *told.epochs.values()])
        if self._row.epoch < epoch:
            self.say("session", f"its epoch is {self._row.epoch}, and its journal was written in {epoch}")
            self.session["epoch"] = epoch
        if (told.leaf_seq > self._after or self._whole) and self._row.leaf_id != fold.leaf_id:
            self.say("session", "its leaf is not where the journal puts it")
            self.session["leaf_id"] = fold.leaf_id
        if dispensable := [name for name in _DISPENSABLE if name in self._row.illegible]:
            self.say("session", f"its {', '.join(dispensable)} can't be read; it is dropped")
            self.session |= dict.fromkeys(dispensable)
        if fold.session is None or told.session_seq <= self._after:
            return
        known = msgspec.structs.replace(fold.session, quarantined=self._row.quarantined_at is not None)
        if _read(to_session, self._row) != known or not _is_json(self._row.metadata):
            self.say("session", "its row is not what the journal says; it is restored")
            values = session_columns(known) | {"owner": known.owner, "context": known.context}
            self.session |= {name: value for name, value in values.items() if name != "id"}

    def diagnosis(self, conn: Connection) -> Diagnosis:
        owner = self.session.get("owner", self._row.owner)
        title = self.session.get("title", self._row.title)
        entries = differences(conn, self._row.id, owner, title, dict(self._as_they_will_be()))
        for what in entries.says:
            self.say("search", what)
        for file_id in files.damaged(conn, self._row.id):
            self.say("file", f"{file_id}: its bytes are damaged", restorable=False)
        return Diagnosis(
            session_id=self._row.id,
            marked=self._row.quarantined_at is not None,
            findings=tuple(self.findings),
            messages=len(self._stored.messages),
            repairs=Repairs(
                messages=tuple(self._messages.values()),
                lost_messages=tuple(self._lost_messages),
                turns=tuple(self._turns.values()),
                columns=self._columns,
                lost_turns=tuple(self._lost_turns),
                session=self.session,
                entries=entries,
            ),
        )

    def _as_they_will_be(self) -> Iterator[tuple[str, Message | None]]:
        """The messages when the repairs are made; None for one that stays damaged, or is about to go."""
        for id_, row in self._stored.messages.items():
            if id_ not in self._messages and id_ not in self._lost_messages:
                yield id_, _read(to_message, row)
        for id_, (message, _) in self._messages.items():
            yield id_, message
        for id_ in self._stored.cleared:  # its entries go with it
            yield id_, None


def _read(convert: Callable[[Any], T], row: SimpleNamespace) -> T | None:
    """What a row says; None where it can't be read."""
    try:
        return convert(row)
    except (Corrupted, ValueError, TypeError, OverflowError):
        return None


def _with(row: SimpleNamespace, **changes: object) -> SimpleNamespace:
    return SimpleNamespace(**{**vars(row), **changes})


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return False
    return True


#: What a session can do without, and no event tells.
_DISPENSABLE: Final = ("remembered_id", "former_owner", "laid_by", "quarantine_reason")
_ASKED: Final = select(*columns(approvals)).where(
    approvals.c.session_id == bindparam("session_id"), approvals.c.status == "pending"
)
_SESSION: Final = select(*columns(sessions)).where(sessions.c.id == bindparam("session_id"))
