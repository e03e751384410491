"""A file of conversations, whatever wrote it: told by its content, and read piece by piece.

Of an array or of lines one element at a time is held; only a document of a single session is read as a whole (``elements``
bounds each).
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final, Literal, NamedTuple, get_args

from legato.transfer import chatgpt, claude, librechat, open_webui
from legato.transfer.decoding import MAX_VALUES, Unreadable, decoded, fields, has_many
from legato.transfer.elements import MAX_ELEMENT_BYTES, Refused, TooLarge, elements, lines
from legato.transfer.foreign import Talk
from legato.transfer.ours import from_document, from_lines
from legato.transfer.records import FORMAT, Conversation, Skipped
from legato.transfer.zipped import is_zip, members

Source = Literal["legato", "chatgpt", "claude", "open-webui", "librechat"]
SOURCES: Final[tuple[Source, ...]] = get_args(Source)

_BOM: Final = b"\xef\xbb\xbf"
_PEEK: Final = 1 << 20
_OURS: Final = re.compile(rb'\s*\{\s*"format"\s*:\s*"legato"')
_MAX_FOREIGN_BYTES: Final = 32 << 20


class Unrecognised(Refused):
    """It is no file that can be imported."""


class _Kind(NamedTuple):
    name: str
    looks_like: Callable[[dict[str, Any]], bool]
    talk: Callable[[dict[str, Any], str], Talk]


_KINDS: Final = (
    _Kind(chatgpt.FORMAT, chatgpt.looks_like, chatgpt.talk),
    _Kind(claude.FORMAT, claude.looks_like, claude.talk),
    _Kind(open_webui.FORMAT, open_webui.looks_like, open_webui.talk),
    _Kind(librechat.FORMAT, librechat.looks_like, librechat.talk),
)


def conversations(file: BinaryIO, source: Source | None = None) -> Iterator[Conversation | Skipped]:
    """What is in a file, in its order; ``source`` says what it must be, None finds it out.

    Raises:
        Unrecognised: it is nothing that can be imported, or not from ``source``.
        TooLarge: it holds a conversation, or unpacks to more, than can be held.
    """
    if is_zip(file):
        found = False
        for _name, member in members(file):
            with member:
                found = True
                yield from _of_file(member, source)
        if not found:
            raise Unrecognised("the archive has no conversations.json")
    else:
        file.seek(0)
        yield from _of_file(file, source)


def _of_file(file: BinaryIO, source: Source | None) -> Iterator[Conversation | Skipped]:
    start = file.read(_PEEK).removeprefix(_BOM)
    rest = _Again(start, file)
    match start.lstrip()[:1]:
        case b"[":
            yield from _of_array(rest, source)
        case b"{" if _is_lines(start):
            _must_be(FORMAT, source)
            yield from from_lines(lines(rest))
        case b"{":
            yield from _of_document(rest.read(MAX_ELEMENT_BYTES + 1), source)
        case _:
            raise Unrecognised("it is neither JSON nor an archive")


class _Again:
    """A file with what was read of it put back."""

    def __init__(self, start: bytes, file: BinaryIO) -> None:
        self._start = start
        self._at = 0
        self._file = file

    def read(self, count: int) -> bytes:
        held = self._start[self._at : self._at + count]
        self._at += len(held)
        return held + self._file.read(count - len(held)) if len(held) < count else held

    def readline(self, limit: int) -> bytes:
        end = self._start.find(b"\n", self._at)
        if 0 <= end < self._at + limit:
            line = self._start[self._at : end + 1]
            self._at = end + 1
            return line
        held = self.read(min(limit, len(self._start) - self._at)) if self._at < len(self._start) else b""
        return held + self._file.readline(limit - len(held))


def _is_lines(start: bytes) -> bool:
    first, newline, _ = start.partition(b"\n")
    if not newline:
        return False
    try:
        return "type" in fields(decoded(first))
    except Unreadable:
        return False


def _of_array(file: Any, source: Source | None) -> Iterator[Conversation | Skipped]:
    recognised = whole = False

    def each() -> Iterator[bytes]:
        nonlocal whole
        whole = yield from elements(file)

    number = 0
    for number, raw in enumerate(each(), 1):
        place = f"conversation {number}"
        try:
            yield from _one(raw, place, source)
            recognised = True
        except Unreadable:
            yield Skipped(place=place, what="conversation", why="it can't be read")
        except Unrecognised as error:
            if not recognised:
                raise
            yield Skipped(place=place, what="conversation", why=str(error))
    if not recognised and (number or not whole):
        raise Unrecognised("nothing in it can be read")
    if not whole:
        yield Skipped(place="the end", what="file", why="it is cut off: what followed is missing")


def _of_document(raw: bytes, source: Source | None) -> Iterator[Conversation | Skipped]:
    if len(raw) > MAX_ELEMENT_BYTES:
        raise TooLarge(f"a document may have {MAX_ELEMENT_BYTES >> 20} MiB")
    try:
        yield from _one(raw, "conversation 1", source)
    except Unreadable as error:
        raise Unrecognised("it is no JSON") from error


def _one(raw: bytes, place: str, source: Source | None) -> Iterator[Conversation | Skipped]:
    """The conversation of one object. Raises Unreadable, Unrecognised."""
    if _OURS.match(raw):
        _must_be(FORMAT, source)
        yield from from_document(raw)
        return
    if len(raw) > _MAX_FOREIGN_BYTES or has_many(raw, MAX_VALUES):
        why = f"one from elsewhere may have {_MAX_FOREIGN_BYTES >> 20} MiB and {MAX_VALUES} values"
        yield Skipped(place=place, what="conversation", why=why)
        return
    value = fields(decoded(raw))
    if value.get("format") == FORMAT:
        _must_be(FORMAT, source)
        yield from from_document(raw)
        return
    kind = next((kind for kind in _KINDS if kind.looks_like(value)), None)
    if kind is None:
        raise Unrecognised("it has not the form of any export that is known here")
    _must_be(kind.name, source)
    talk = kind.talk(value, place)
    if not talk.id:
        yield Skipped(place=place, what="conversation", why="it has no id")
        return
    conversation = talk.conversation()
    if conversation.messages:
        yield conversation
    else:
        yield from conversation.skipped
        yield Skipped(place=place, what="conversation", why="nothing is left of it")


def _must_be(name: str, source: Source | None) -> None:
    if source is not None and name != source:
        raise Unrecognised(f"it is from {name}, not from {source}")
