"""Sessions on their way out: read some at a time in short transactions, written while the client takes them.

Whoever reads slowly holds a page of messages, and no connection of the store's.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar

import msgspec
from sqlalchemy import Connection

from legato.core.errors import Corrupted, SessionNotFound, Unavailable
from legato.core.model import FilePart, Message, Turn
from legato.engine.attachments import pieces_in_session
from legato.engine.tasks import report
from legato.store import exporting, files
from legato.store.exporting import Instant
from legato.store.legible import DAMAGED
from legato.store.port import Store
from legato.transfer.markdown import Markdown
from legato.transfer.page import Page
from legato.transfer.records import FileRecord, record_of
from legato.transfer.settling import settled_message, settled_turn
from legato.transfer.writing import Carrying, Format, Lines, OneDocument, Writer

_CHUNK_BYTES: Final = 64 * 1024
_PAGE_BYTES: Final = 256 * 1024
_FIRST: Final = 32
_TOLD: Final = ("name", "media_type", "size", "digest")
_MOST: Final = 64

T = TypeVar("T")


class Opened(msgspec.Struct, frozen=True):
    """A session at one instant, with its first messages and turns."""

    instant: Instant
    messages: tuple[Message, ...]
    turns: tuple[Turn, ...]


def _open(conn: Connection, session_id: str, owner: str, whole: bool) -> Opened:
    instant = exporting.instant(conn, session_id, owner)
    ids = instant.message_ids if whole else instant.branch
    turns = exporting.read_turns(conn, instant.turn_ids[:_FIRST]) if whole else []
    return Opened(instant, tuple(exporting.read_messages(conn, ids[:_FIRST])), tuple(turns))


class Exporting:
    """The exports of this process. ``stopped``: whether the process stops. ``on_damage`` is told of sessions with damage."""

    def __init__(
        self, *, store: Store, stopped: Callable[[], bool], on_damage: Callable[[str, Corrupted], None]
    ) -> None:
        self._store = store
        self._stopped = stopped
        self._on_damage = on_damage

    async def one(self, owner: str, session_id: str, format_: Format) -> AsyncIterator[bytes]:
        """One session as a file.

        Raises:
            SessionNotFound: here, before anything is written.
        """
        writer = _writer(format_)
        opened = await self._store.read(_open, session_id, owner, writer.whole)
        if isinstance(writer, Page):
            writer = Page(opened.instant.session.title or "Conversation")
        return _joined(self._one(writer, opened))

    def all(self, owner: str, format_: Format) -> AsyncIterator[bytes]:
        """All of an owner's sessions as a file, the oldest first."""
        return _joined(self._all(_writer(format_), owner))

    async def _one(self, writer: Writer, opened: Opened) -> AsyncIterator[bytes]:
        yield writer.head(datetime.now(UTC))
        counts = _Counts()
        async for piece in self._session(writer, opened, counts):
            yield piece
        yield writer.end(1, counts.messages)

    async def _all(self, writer: Writer, owner: str) -> AsyncIterator[bytes]:
        yield writer.head(datetime.now(UTC))
        counts, sessions, after = _Counts(), 0, (-1, "")
        while found := await self._store.read(exporting.page, owner, after):
            for at, session_id in found:
                after = at, session_id
                try:
                    opened = await self._store.read(_open, session_id, owner, writer.whole)
                except SessionNotFound:
                    continue  # deleted meanwhile
                sessions += 1
                async for piece in self._session(writer, opened, counts):
                    yield piece
        yield writer.end(sessions, counts.messages)

    async def _session(self, writer: Writer, opened: Opened, counts: "_Counts") -> AsyncIterator[bytes]:
        instant = opened.instant
        elsewhere = 0 if writer.whole else len(set(instant.message_ids) - set(instant.branch))
        yield writer.begin(record_of(instant.session, instant.leaf_id), elsewhere)
        ids = instant.message_ids if writer.whole else instant.branch
        attached: list[str] = []
        async for messages in self._pages(ids, opened.messages, exporting.read_messages):
            as_they_stood = [_at(instant, message) for message in messages]
            if not instant.session.quarantined and (lost := [m.id for m in messages if m.error is DAMAGED]):
                self._on_damage(instant.session.id, Corrupted(message_id=lost[0]))
            counts.messages += len(messages)
            attached += [part.file_id for each in messages for part in each.parts if isinstance(part, FilePart)]
            yield await asyncio.to_thread(writer.messages, as_they_stood)
        if not isinstance(writer, Lines | OneDocument):
            return
        now = datetime.now(UTC)
        async for turns in self._pages(instant.turn_ids, opened.turns, exporting.read_turns):
            yield writer.turns([settled_turn(instant.unfinished.get(turn.id, turn), now) for turn in turns])
        for file_id in dict.fromkeys(attached):
            async for piece in self._file(writer, instant.session.id, file_id):
                yield piece

    async def _file(self, writer: Carrying, session_id: str, file_id: str) -> AsyncIterator[bytes]:
        """A file with its bytes; one that has been removed is missing, and of a damaged one what is whole is there."""
        file = await self._store.read(files.get_in_session, file_id, session_id)
        if file is None:
            return
        yield writer.file(FileRecord(id=file.id, **{name: getattr(file, name) for name in _TOLD}))
        try:
            async for payload in pieces_in_session(self._store, session_id, file_id):
                yield await asyncio.to_thread(writer.piece, file_id, payload)
        except Corrupted as error:
            report(error, f"file {file_id} is damaged")
        yield writer.file_ended()

    async def _pages(
        self, ids: Sequence[str], first: Sequence[T], read: Callable[[Connection, Sequence[str]], list[T]]
    ) -> AsyncIterator[Sequence[T]]:
        """Pages of about the same weight, each read when it is asked for. Raises Unavailable: the process stops."""
        at, count, page = min(_FIRST, len(ids)), _FIRST, first
        while True:
            if page:
                yield page
            if at >= len(ids):
                return
            if self._stopped():
                raise Unavailable("The server stops; ask again.")
            weight = len(msgspec.json.encode(page)) or 1
            count = max(1, min(_MOST, count * _PAGE_BYTES // weight, count * 2))
            page = await self._store.read(read, ids[at : at + count])
            at += count


class _Counts:
    messages = 0


def _at(instant: Instant, message: Message) -> Message:
    """A message as it stood at the instant, in the place that one has which waited then."""
    message = instant.growing.get(message.id, message)
    if message.id in instant.parents:
        message = msgspec.structs.replace(message, parent_id=instant.parents[message.id])
    return settled_message(message)


def _writer(format_: Format) -> Writer:
    match format_:
        case "jsonl":
            return Lines()
        case "json":
            return OneDocument()
        case "markdown":
            return Markdown()
        case "html":
            return Page()


async def _joined(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Small pieces together: a thousand short sessions are not a thousand writes."""
    held = bytearray()
    async for piece in pieces:
        held += piece
        if len(held) >= _CHUNK_BYTES:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)
