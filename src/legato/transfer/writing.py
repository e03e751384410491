"""How a session is written down: what every format has to answer, and the two that a program reads."""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, Protocol

from legato.core.model import Message, Turn
from legato.transfer.records import (
    FORMAT,
    VERSION,
    End,
    FileLine,
    FileRecord,
    Header,
    MessageLine,
    PieceLine,
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


class Carrying(Protocol):
    """What a writer that wants the whole is told after a session's turns: each of its files, piece by piece."""

    def file(self, file: FileRecord) -> bytes: ...

    def piece(self, file_id: str, payload: bytes) -> bytes: ...

    def file_ended(self) -> bytes: ...


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

    def file(self, file: FileRecord) -> bytes:
        return line(FileLine(file))

    def piece(self, file_id: str, payload: bytes) -> bytes:
        return line(PieceLine(file_id, base64.b64encode(payload).decode()))

    def file_ended(self) -> bytes:
        return b""

    def end(self, sessions: int, messages: int) -> bytes:
        return line(End(sessions, messages))


class OneDocument:
    """One JSON document, of one session. Readable as it grows: a line for each message and turn."""

    whole = True

    def __init__(self) -> None:
        self._written = 0
        self._lists = ["turns", "files"]  # those that are still to come

    def head(self, now: datetime) -> bytes:
        about = encode({"format": FORMAT, "version": VERSION, "exported_at": now})
        return about[:-1] + b",\n"

    def begin(self, session: SessionRecord, elsewhere: int) -> bytes:
        return b'"session":' + encode(session) + b',\n"messages":['

    def messages(self, messages: Sequence[Message]) -> bytes:
        return self._listed(messages)

    def turns(self, turns: Sequence[Turn]) -> bytes:
        return self._to("turns") + self._listed(turns)

    def file(self, file: FileRecord) -> bytes:
        return self._to("files") + self._listed([file]).removesuffix(b'"}')  # ``content`` is its last field

    def piece(self, file_id: str, payload: bytes) -> bytes:
        return base64.b64encode(payload)

    def file_ended(self) -> bytes:
        return b'"}'

    def end(self, sessions: int, messages: int) -> bytes:
        return self._to("files") + b"\n]}\n"

    def _to(self, name: str) -> bytes:
        out = b""
        while name in self._lists:
            self._written = 0
            out += f'\n],\n"{self._lists.pop(0)}":['.encode()
        return out

    def _listed(self, values: Sequence[object]) -> bytes:
        out = bytearray()
        for value in values:
            out += (b",\n" if self._written else b"\n") + encode(value)
            self._written += 1
        return bytes(out)
