"""How a session is written down: what every format has to answer, and the two that a program reads."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, Protocol

from legato.core.model import Message, Turn
from legato.transfer.records import (
    FORMAT,
    VERSION,
    End,
    Header,
    MessageLine,
    SessionLine,
    SessionRecord,
    TurnLine,
    encode,
    line,
)

Format = Literal["markdown", "json", "jsonl", "html"]

MEDIA_TYPES: Final[dict[Format, str]] = {
    "markdown": "text/markdown; charset=utf-8",
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "html": "text/html; charset=utf-8",
}
SUFFIXES: Final[dict[Format, str]] = {"markdown": "md", "json": "json", "jsonl": "jsonl", "html": "html"}


class Writer(Protocol):
    """A file in the making, told piece by piece: ``head``, then ``begin``, ``messages`` and ``turns`` of each session, ``end``.

    ``whole``: it wants every message and turn; else only the active branch, oldest first.
    """

    whole: bool

    def head(self, now: datetime) -> bytes: ...

    def begin(self, session: SessionRecord, elsewhere: int) -> bytes:
        """``elsewhere``: how many messages stand on other branches."""
        ...

    def messages(self, messages: Sequence[Message]) -> bytes: ...

    def turns(self, turns: Sequence[Turn]) -> bytes: ...

    def end(self, sessions: int, messages: int) -> bytes: ...


class Lines:
    """JSON lines."""

    whole = True

    def head(self, now: datetime) -> bytes:
        return line(Header(exported_at=now))

    def begin(self, session: SessionRecord, elsewhere: int) -> bytes:
        return line(SessionLine(session))

    def messages(self, messages: Sequence[Message]) -> bytes:
        return b"".join(line(MessageLine(each)) for each in messages)

    def turns(self, turns: Sequence[Turn]) -> bytes:
        return b"".join(line(TurnLine(each)) for each in turns)

    def end(self, sessions: int, messages: int) -> bytes:
        return line(End(sessions, messages))


class OneDocument:
    """One JSON document, of one session. Readable as it grows: a line for each message and turn."""

    whole = True

    def __init__(self) -> None:
        self._written = 0
        self._in_turns = False

    def head(self, now: datetime) -> bytes:
        about = encode({"format": FORMAT, "version": VERSION, "exported_at": now})
        return about[:-1] + b",\n"

    def begin(self, session: SessionRecord, elsewhere: int) -> bytes:
        return b'"session":' + encode(session) + b',\n"messages":['

    def messages(self, messages: Sequence[Message]) -> bytes:
        return self._listed(messages)

    def turns(self, turns: Sequence[Turn]) -> bytes:
        return self._to_turns() + self._listed(turns)

    def end(self, sessions: int, messages: int) -> bytes:
        return self._to_turns() + b"\n]}\n"

    def _to_turns(self) -> bytes:
        if self._in_turns:
            return b""
        self._in_turns, self._written = True, 0
        return b'\n],\n"turns":['

    def _listed(self, values: Sequence[object]) -> bytes:
        out = bytearray()
        for value in values:
            out += (b",\n" if self._written else b"\n") + encode(value)
            self._written += 1
        return bytes(out)
