"""Our own format, read: a document, or lines."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

import msgspec

from legato.core.model import Message, Turn
from legato.transfer.bounds import bounded_message, bounded_session, bounded_turn, origin
from legato.transfer.decoding import Unreadable, decoded
from legato.transfer.records import (
    FORMAT,
    VERSION,
    Conversation,
    End,
    Header,
    Line,
    MessageLine,
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


class _Gathering:
    """What was read of a session so far."""

    def __init__(self, place: str, session: SessionRecord) -> None:
        self.place = place
        self.session = session
        self.messages: dict[str, Message] = {}
        self.turns: dict[str, Turn] = {}
        self.skipped: list[Skipped] = []

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

    def whole(self) -> Conversation:
        session, skipped = bounded_session(self.session, self.place)
        return Conversation(
            origin=origin(FORMAT, self.session.id),
            place=self.place,
            session=session,
            messages=tuple(self.messages.values()),
            turns=tuple(self.turns.values()),
            skipped=(*self.skipped, *skipped),
        )


def from_document(raw: bytes) -> Iterator[Conversation | Skipped]:
    """The session of a document."""
    try:
        document = msgspec.json.decode(raw, type=_Document)
        session = _convert(decoded(bytes(document.session)), SessionRecord)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        yield Skipped(place="session", what="session", why=_UNREADABLE)
        return
    gathering = _Gathering("session", session)
    _each(gathering, document.messages, "messages", Message, gathering.message)
    _each(gathering, document.turns, "turns", Turn, gathering.turn)
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
            case End():
                ended = True
            case MessageLine() | TurnLine() if gathering is None:
                yield Skipped(place=place, what="line", why="it belongs to no session")
            case MessageLine() if gathering is not None:
                gathering.message(place, record.message)
            case TurnLine() if gathering is not None:
                gathering.turn(place, record.turn)
    if gathering is not None:
        yield gathering.whole()
    if not ended:
        yield Skipped(place="the end", what="file", why="it is cut off: what followed is missing")


def _convert(value: Any, kind: Any) -> Any:
    return msgspec.convert(value, kind)
