"""Our own format, read: a document, or lines."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from typing import Any, Final, TypeVar

import msgspec

from legato.core.model import Message, Turn
from legato.transfer.bounds import bounded_message, bounded_session, bounded_turn, origin
from legato.transfer.decoding import Unreadable, decoded
from legato.transfer.luggage import Luggage
from legato.transfer.records import (
    FORMAT,
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
)
from legato.transfer.settling import settled_message, settled_turn

T = TypeVar("T")
_MOST_MESSAGES: Final = 200_000
_UNREADABLE: Final = "it can't be read"


class _Document(msgspec.Struct):
    """A document whose messages are looked at one by one: a long one would hold up everybody else in the process."""

    session: msgspec.Raw
    messages: tuple[msgspec.Raw, ...] = ()
    turns: tuple[msgspec.Raw, ...] = ()
    files: tuple[msgspec.Raw, ...] = ()


class _Gathering:
    """What was read of a session so far."""

    def __init__(self, place: str, session: SessionRecord) -> None:
        self.place = place
        self.session = session
        self.messages: dict[str, Message] = {}
        self.turns: dict[str, Turn] = {}
        self.skipped: list[Skipped] = []
        self._luggage: Luggage | None = None

    def skip(self, place: str, what: str, why: str) -> None:
        self.skipped.append(Skipped(place=place, what=what, why=why))

    def message(self, place: str, message: Message) -> None:
        if message.id in self.messages:
            self.skip(place, "message", "its id stands there twice")
        elif len(self.messages) >= _MOST_MESSAGES:
            self.skip(place, "message", f"a session may have {_MOST_MESSAGES} messages")
        else:
            self.messages[message.id] = bounded_message(settled_message(message))

    def turn(self, place: str, turn: Turn) -> None:
        if turn.id in self.turns:
            self.skip(place, "turn", "its id stands there twice")
        else:
            self.turns[turn.id] = bounded_turn(settled_turn(turn, self.session.last_activity))

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
        session = _convert(decoded(bytes(document.session)), SessionRecord)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        yield Skipped(place="session", what="session", why=_UNREADABLE)
        return
    with closing(_Gathering("session", session)) as gathering:
        _each(gathering, document.messages, "messages", Message, gathering.message)
        _each(gathering, document.turns, "turns", Turn, gathering.turn)
        _each(gathering, document.files, "files", FileRecord, gathering.file)
        yield gathering.whole()


def _each(
    gathering: _Gathering, raws: Iterable[msgspec.Raw], name: str, kind: type[T], take: Callable[[str, T], None]
) -> None:
    for index, raw in enumerate(raws):
        place = f"{name}[{index}]"
        try:
            take(place, _convert(decoded(bytes(raw)), kind))
        except (msgspec.MsgspecError, Unreadable):
            gathering.skip(place, kind.__name__.lower(), _UNREADABLE)


def from_lines(lines: Iterable[bytes]) -> Iterator[Conversation | Skipped]:
    """The sessions of lines, each as soon as the next one begins."""
    with ExitStack() as left:
        yield from _from_lines(lines, left)


def _from_lines(lines: Iterable[bytes], left: ExitStack) -> Iterator[Conversation | Skipped]:
    gathering: _Gathering | None = None
    ended = False
    for number, raw in enumerate(lines, 1):
        place = f"line {number}"
        try:
            record: Any = _convert(decoded(raw), Line)
        except (msgspec.MsgspecError, Unreadable):
            yield Skipped(place=place, what="line", why=_UNREADABLE)
            continue
        if isinstance(record, SessionLine | End) and gathering is not None:
            yield gathering.whole()
            gathering = None
        match record:
            case Header():
                if record.version > VERSION:
                    yield Skipped(
                        place=place, what="header", why=f"version {record.version} is newer than this program"
                    )
            case SessionLine():
                gathering = _Gathering(place, record.session)
                left.pop_all()  # the one before is taken
                left.callback(gathering.close)
            case End():
                ended = True
            case MessageLine() | TurnLine() | FileLine() | PieceLine() if gathering is None:
                yield Skipped(place=place, what="line", why="it belongs to no session")
            case MessageLine() if gathering is not None:
                gathering.message(place, record.message)
            case TurnLine() if gathering is not None:
                gathering.turn(place, record.turn)
            case FileLine() if gathering is not None:
                gathering.file(place, record.file)
            case PieceLine() if gathering is not None:
                gathering.piece(record.file_id, record.content)
    if gathering is not None:
        yield gathering.whole()
    if not ended:
        yield Skipped(place="the end", what="file", why="it is cut off: what followed is missing")


def _convert(value: Any, kind: Any) -> Any:
    return msgspec.convert(value, kind)
