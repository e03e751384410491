"""Our own format, read: a document, or lines."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any, Final, TypeVar

import msgspec

from legato.core.model import Message, TextPart, Turn
from legato.transfer.amounts import unsound
from legato.transfer.bounds import bounded_message, bounded_session, bounded_turn, origin
from legato.transfer.decoding import MAX_VALUES, Unreadable, decoded
from legato.transfer.elements import MAX_ELEMENT_BYTES, MAX_LINE_BYTES, split
from legato.transfer.luggage import Luggage
from legato.transfer.records import (
    FORMAT,
    MAX_TEXT,
    TOO_LONG,
    VERSION,
    Conversation,
    End,
    FileLine,
    FileRecord,
    Header,
    Line,
    MessageLine,
    PieceLine,
    SessionLine,
    SessionRecord,
    Skipped,
    TurnLine,
    leave_out,
)
from legato.transfer.settling import settled_message, settled_turn

T = TypeVar("T")
_MOST_MESSAGES: Final = 200_000
_MOST_OF_FILE: Final = 10_000  # values: its content is one
_UNREADABLE: Final = "it can't be read"
_TOO_LONG: Final = f"it is longer than {MAX_LINE_BYTES >> 20} MiB"
_TOO_LARGE: Final = f"it is larger than {MAX_ELEMENT_BYTES >> 20} MiB"


class _Document(msgspec.Struct):
    """A document whose messages are looked at one by one: a long one would hold up everybody else in the process."""

    session: msgspec.Raw
    messages: msgspec.Raw = msgspec.Raw(b"[]")
    turns: msgspec.Raw = msgspec.Raw(b"[]")
    files: msgspec.Raw = msgspec.Raw(b"[]")


class _Gathering:
    """What was read of a session so far."""

    def __init__(self, place: str, session: SessionRecord) -> None:
        self.place = place
        self.session = session
        self.messages: dict[str, Message] = {}
        self.turns: dict[str, Turn] = {}
        self.skipped: list[Skipped] = []
        self._left_bytes = MAX_ELEMENT_BYTES
        self._luggage: Luggage | None = None

    def skip(self, place: str, what: str, why: str) -> None:
        leave_out(self.skipped, Skipped(place=place, what=what, why=why))

    def is_full(self, size: int) -> bool:
        """Whether the session has become larger than can be held, with so many bytes more."""
        self._left_bytes -= size
        return self._left_bytes < 0

    def message(self, place: str, message: Message) -> None:
        if message.id in self.messages:
            self.skip(place, "message", "its id stands there twice")
        elif len(self.messages) >= _MOST_MESSAGES:
            self.skip(place, "message", f"a session may have {_MOST_MESSAGES} messages")
        elif sum(len(part.text) for part in message.parts if isinstance(part, TextPart)) > MAX_TEXT:
            self.skip(place, "message", TOO_LONG)
        else:
            self._tell_of_numbers(place, message)
            self.messages[message.id] = bounded_message(settled_message(message))

    def turn(self, place: str, turn: Turn) -> None:
        if turn.id in self.turns:
            self.skip(place, "turn", "its id stands there twice")
        elif len(self.turns) >= _MOST_MESSAGES:
            self.skip(place, "turn", f"a session may have {_MOST_MESSAGES} turns")
        else:
            self._tell_of_numbers(place, turn)
            self.turns[turn.id] = bounded_turn(settled_turn(turn, self.session.last_activity))

    def _tell_of_numbers(self, place: str, thing: Message | Turn) -> None:
        for what in unsound(thing):
            self.skip(place, what, "a number in it is beyond all bounds")

    def add(self, place: str, record: MessageLine | TurnLine | FileLine | PieceLine) -> None:
        match record:
            case MessageLine():
                self.message(place, record.message)
            case TurnLine():
                self.turn(place, record.turn)
            case FileLine():
                self.file(place, record.file)
            case PieceLine():
                self.piece(record.file_id, record.content)

    def file(self, place: str, file: FileRecord) -> None:
        if self._luggage is None:
            self._luggage = Luggage()
        self._luggage.begin(file.id, file.size, file.digest)
        if file.content:
            self._luggage.add(file.id, file.content)

    def piece(self, file_id: str, content: str) -> None:
        if self._luggage is not None:
            self._luggage.add(file_id, content)

    def close(self) -> None:
        """Nobody takes it."""
        if self._luggage is not None:
            self._luggage.close()

    def whole(self) -> Conversation:
        """All of it; its luggage goes with it."""
        luggage, self._luggage = self._luggage, None
        session, skipped = bounded_session(self.session, self.place)
        return Conversation(
            origin=origin(FORMAT, self.session.id),
            place=self.place,
            session=session,
            messages=tuple(self.messages.values()),
            turns=tuple(self.turns.values()),
            skipped=(*self.skipped, *skipped),
            luggage=luggage,
        )


def from_document(raw: bytes) -> Iterator[Conversation | Skipped]:
    """The session of a document."""
    try:
        document = msgspec.json.decode(raw, type=_Document)
        session = _session(bytes(document.session))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        yield Skipped(place="session", what="session", why=_UNREADABLE)
        return
    with closing(_Gathering("session", session)) as gathering:
        _each(gathering, document.messages, "messages", Message, gathering.message, MAX_LINE_BYTES, MAX_VALUES)
        _each(gathering, document.turns, "turns", Turn, gathering.turn, MAX_LINE_BYTES, MAX_VALUES)
        _each(gathering, document.files, "files", FileRecord, gathering.file, MAX_ELEMENT_BYTES, _MOST_OF_FILE)
        yield gathering.whole()


def _session(raw: bytes) -> SessionRecord:
    """Raises Unreadable, msgspec.ValidationError."""
    if len(raw) > MAX_LINE_BYTES:
        raise Unreadable(_TOO_LONG)
    record: SessionRecord = _convert(decoded(raw), SessionRecord)
    return record


def _each(
    gathering: _Gathering,
    array: msgspec.Raw,
    name: str,
    kind: type[T],
    take: Callable[[str, T], None],
    most_bytes: int,
    most_values: int,
) -> None:
    for index, raw in enumerate(split(array)):
        place, what = f"{name}[{index}]", kind.__name__.lower()
        if len(raw) > most_bytes:
            gathering.skip(place, what, _TOO_LONG)
            continue
        try:
            take(place, _convert(decoded(raw, most_values), kind))
        except (msgspec.MsgspecError, Unreadable):
            gathering.skip(place, what, _UNREADABLE)


def from_lines(lines: Iterable[bytes | None]) -> Iterator[Conversation | Skipped]:
    """The sessions of lines, each as soon as the next one begins. None is a line that is too long."""
    with closing(_Lines()) as reading:
        for number, raw in enumerate(lines, 1):
            yield from reading.take(f"line {number}", raw)
        yield from reading.end()


class _Lines:
    """Lines one after another, and the session that they belong to."""

    def __init__(self) -> None:
        self._gathering: _Gathering | None = None
        self._left_out = False  # what follows belongs to a session that is too large
        self._ended = False

    def take(self, place: str, raw: bytes | None) -> Iterator[Conversation | Skipped]:
        try:
            record = _record(raw)
        except Unreadable as error:
            yield Skipped(place=place, what="line", why=str(error))
            return
        match record:
            case Header() if record.version > VERSION:
                yield Skipped(place=place, what="header", why=f"version {record.version} is newer than this program")
            case SessionLine():
                yield from self._whole()
                self._gathering = _Gathering(place, record.session)
            case End():
                yield from self._whole()
                self._ended = True
            case MessageLine() | TurnLine() | FileLine():
                yield from self._add(place, record, len(raw or b""))
            case PieceLine():
                yield from self._add(place, record, 0)  # it goes to a file

    def end(self) -> Iterator[Conversation | Skipped]:
        yield from self._whole()
        if not self._ended:
            yield Skipped(place="the end", what="file", why="it is cut off: what followed is missing")

    def close(self) -> None:
        """Nobody reads on."""
        if self._gathering is not None:
            self._gathering.close()

    def _whole(self) -> Iterator[Conversation]:
        gathering, self._gathering, self._left_out = self._gathering, None, False
        if gathering is not None:
            yield gathering.whole()

    def _add(self, place: str, record: MessageLine | TurnLine | FileLine | PieceLine, size: int) -> Iterator[Skipped]:
        gathering = self._gathering
        if gathering is None:
            if not self._left_out:
                yield Skipped(place=place, what="line", why="it belongs to no session")
        elif gathering.is_full(size):
            yield Skipped(place=gathering.place, what="session", why=_TOO_LARGE)
            gathering.close()
            self._gathering, self._left_out = None, True
        else:
            gathering.add(place, record)


def _record(raw: bytes | None) -> Line:
    """Raises Unreadable."""
    if raw is None:
        raise Unreadable(_TOO_LONG)
    try:
        record: Line = _convert(decoded(raw), Line)
    except (msgspec.MsgspecError, Unreadable):
        raise Unreadable(_UNREADABLE) from None
    return record


def _convert(value: Any, kind: Any) -> Any:
    return msgspec.convert(value, kind)
