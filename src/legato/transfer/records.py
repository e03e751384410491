"""Our own format, version 1: one JSON document for a session, or JSON lines for all of an owner's.

A line is a record, told by ``type``: ``header`` first, then for each session its ``session``, its ``message``s and ``turn``s,
each ``file`` with its ``piece``s, and ``end`` last (without it the file is cut off). A document has them under ``session``,
``messages``, ``turns`` and ``files``. Messages and turns are those of the protocol. Turns stand in the order in which they
ended; a message may stand before its parent.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec

from legato.core.model import Message, Part, Session, TitleSource, Turn
from legato.transfer.luggage import Luggage

FORMAT: Final = "legato"
VERSION: Final = 1
#: Characters of a message, as many as a request may bring. Its words enter the search's index in one transaction.
MAX_TEXT: Final = 1 << 20
TOO_LONG: Final = f"it is longer than {MAX_TEXT} characters"


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A session without whose it is, and the leaf of its active branch."""

    id: str
    agent_id: str
    created_at: datetime
    last_activity: datetime
    agent_name: str = ""
    parent_role: str | None = None
    model_id: str | None = None
    title: str | None = None
    title_source: TitleSource | None = None
    closed_at: datetime | None = None
    archived_at: datetime | None = None
    pinned: bool = False
    keep: bool = False
    memory: bool = True
    context: str | None = None
    metadata: dict[str, Any] = {}
    leaf_id: str | None = None
    # Something of it was damaged when it was written down; what was is empty, with an error.
    quarantined: bool = False


class Header(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="header"):
    """What the file is."""

    exported_at: datetime
    format: str = FORMAT
    version: int = VERSION


class SessionLine(msgspec.Struct, frozen=True, tag_field="type", tag="session"):
    session: SessionRecord


class MessageLine(msgspec.Struct, frozen=True, tag_field="type", tag="message"):
    message: Message


class TurnLine(msgspec.Struct, frozen=True, tag_field="type", tag="turn"):
    turn: Turn


class FileRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a message. ``digest`` is its SHA-256; ``content``, in base 64, only in a document."""

    id: str
    name: str
    media_type: str
    size: int
    digest: str
    content: str = ""


class FileLine(msgspec.Struct, frozen=True, tag_field="type", tag="file"):
    file: FileRecord


class PieceLine(msgspec.Struct, frozen=True, tag_field="type", tag="piece"):
    """More of the file's content, in base 64."""

    file_id: str
    content: str


class End(msgspec.Struct, frozen=True, tag_field="type", tag="end"):
    """The file is whole: so many of each."""

    sessions: int
    messages: int


Line = Header | SessionLine | MessageLine | TurnLine | FileLine | PieceLine | End


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One session as one document."""

    exported_at: datetime
    session: SessionRecord
    messages: tuple[Message, ...] = ()
    turns: tuple[Turn, ...] = ()
    files: tuple[FileRecord, ...] = ()
    format: str = FORMAT
    version: int = VERSION


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """Something of a file that was left out or changed: where, what, and why."""

    place: str
    what: str
    why: str


#: How much of what is left out is told: of a conversation, and in a report.
MOST_TOLD: Final = 1_000


def leave_out(skipped: list[Skipped], one: Skipped) -> None:
    """Tell one thing more that is left out of a conversation; those beyond the first 1,000 are mentioned together."""
    if len(skipped) < MOST_TOLD:
        skipped.append(one)
    elif len(skipped) == MOST_TOLD:
        skipped.append(Skipped(place=one.place, what="more", why=f"of one conversation {MOST_TOLD} things are told"))


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A session as a file has it, with the file's own ids. ``origin`` tells it from every other one: ``chatgpt:…``.

    ``place`` says where in the file it stands. Nothing in it is unfinished. ``luggage`` holds its files, if it has some:
    who takes the conversation closes it.
    """

    origin: str
    place: str
    session: SessionRecord
    messages: tuple[Message, ...] = ()
    turns: tuple[Turn, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    luggage: Luggage | None = None


def size_of(parts: Iterable[Part]) -> int:
    """How much room parts take, in characters: an empty one is not for nothing."""
    texts = (value for part in parts for value in (*msgspec.structs.astuple(part), _PART) if isinstance(value, str))
    return sum(map(len, texts))


def record_of(session: Session, leaf_id: str | None) -> SessionRecord:
    """A session to be written down."""
    fields = {name: getattr(session, name) for name in SessionRecord.__struct_fields__ if name != "leaf_id"}
    return SessionRecord(**fields, leaf_id=leaf_id)


_PART: Final = " " * 32  # what a part takes besides its texts
_encoder: Final = msgspec.json.Encoder()


def line(record: Line) -> bytes:
    """A record as a line."""
    return _encoder.encode(record) + b"\n"


def encode(value: object) -> bytes:
    return _encoder.encode(value)
