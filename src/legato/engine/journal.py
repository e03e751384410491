"""Group commit: what all running turns of the process say goes into the store together, one commit at a time.

While a commit is on its way to disk, whatever arrives forms the next; there is no timer, so an idle system commits at
once and a busy one commits more at a time. Waiting neighbours of the same part become one ``token`` event. A writer whose
readers are slow or whose store is slow holds its producer back (``room``), never the other writers.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from legato.core.errors import Unavailable
from legato.core.events import Event, Token, TokenKind, encode_lines
from legato.core.text import Normaliser
from legato.engine.diagnostics import Diagnostics
from legato.engine.failpoints import reached
from legato.engine.publish import Publisher
from legato.engine.tasks import Tasks, log
from legato.store.journal import payload_crc
from legato.store.port import Batch, Row, Store

ROOM_BYTES: Final = 256 * 1024  # what a turn may have uncommitted before its producer waits
BACKGROUND_ROOM_BYTES: Final = (
    16 * 1024
)  # that of a turn that can wait: nobody else's commit waits for a large one of its
_PIECE_BYTES: Final = 64  # what a piece of text takes in memory besides its letters
_EVENT_CHARS: Final = 32 * 1024  # a longer piece of text becomes several events
RETRY_FOR_S: Final = 10.0  # promise R-14: after that the turn ends incomplete


class Fenced(Exception):
    """The turn is no longer this process's."""


class TurnWriter:
    """What one running turn says, on its way into the journal."""

    def __init__(self, *, journal: "Journal", session_id: str, turn_id: str, epoch: int, after: int) -> None:
        self.session_id = session_id
        self.turn_id = turn_id
        self.fenced = False
        self.room_bytes = ROOM_BYTES
        self.on_heard: Callable[[], None] | None = None  # told once, when the first words are committed
        self.on_fenced: Callable[[], None] | None = None  # told when a batch was refused
        self._journal = journal
        self._epoch = epoch
        self._after = after
        self._number = 0
        self._lines: list[bytes] = []
        self._key: tuple[str, int, TokenKind] | None = None
        self._pieces: list[str] = []
        self._text = Normaliser()
        self._bytes = 0
        self._committing = False
        self._failure: Exception | None = None
        self._moved = asyncio.Event()
        self._spoke = False

    def token(self, message_id: str, part: int, kind: TokenKind, text: str) -> None:
        """Add text to a part; joins what waits for the same part. Raises as ``room`` does."""
        self._raise()
        key = (message_id, part, kind)
        if key != self._key:
            self._close_text()
            self._key = key
        self._pieces.append(text)
        self._bytes += len(text) + _PIECE_BYTES
        self._journal.wake(self)

    def event(self, event: Event) -> None:
        """Add an event. Raises as ``room`` does."""
        self._raise()
        self._close_text()
        self._key = None
        self._add(event)
        self._journal.wake(self)

    def close(self) -> None:
        """Take nothing more: the turn has ended, whatever a task that its agent left behind may believe, or waits for."""
        self.fenced = True
        self._move()

    async def room(self) -> None:
        """Wait until more may be said.

        Raises:
            Fenced; Unavailable: the store has been away for too long.
        """
        while True:
            self._raise()
            if self._bytes < self.room_bytes:
                return
            await self._moved.wait()

    async def flush(self) -> None:
        """Wait until everything said so far is committed. Raises as ``room`` does."""
        self._close_text()
        self._key = None
        if self._lines:
            self._journal.wake(self)
        while True:
            self._raise()
            if not self._lines and not self._committing:
                return
            await self._moved.wait()

    def take(self) -> Batch | None:
        """Everything that waits, as the next batch; None while one is on its way."""
        if self._committing or self.fenced or self._failure is not None:
            return None
        self._join()
        if not self._lines:
            return None
        lines, self._lines = self._lines, []
        self._bytes = 0
        self._committing = True
        self._number += 1
        payload = b"\n".join(lines)
        crc = payload_crc(self.session_id, payload)
        return Batch(self.session_id, self.turn_id, self._epoch, self._number, len(lines), payload, crc, self._after)

    def settle(self, row: Row | None, failure: Exception | None = None) -> None:
        """The batch taken last was committed (``row``), refused (None), or could not be written."""
        self._committing = False
        self._failure = failure
        if row is None and failure is None and not self.fenced:
            self.fenced = True
            if self.on_fenced is not None:
                self.on_fenced()
        self._move()
        if self._lines or self._pieces:
            self._journal.wake(self)
        if self._spoke and row is not None:
            reached("after_first_token")
            if self.on_heard is not None:
                self.on_heard()
                self.on_heard = None

    def _move(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _raise(self) -> None:
        if self.fenced:
            raise Fenced
        if self._failure is not None:
            raise self._failure

    def _close_text(self) -> None:
        """The part's text ends here, for now: half a surrogate pair that is still held back comes out as it is."""
        if self._key is not None:
            self._pieces.append("")
            self._join(last=True)

    def _join(self, *, last: bool = False) -> None:
        if self._key is None or not self._pieces:
            return
        text = self._text.feed("".join(self._pieces))
        if last:
            text += self._text.flush()
        self._pieces = []
        self._spoke = self._spoke or bool(text)
        message_id, part, kind = self._key
        for start in range(0, len(text), _EVENT_CHARS):
            piece = text[start : start + _EVENT_CHARS]
            self._lines.append(encode_lines([Token(self.turn_id, message_id, part, kind, piece)]))

    def _add(self, event: Event) -> None:
        line = encode_lines([event])  # here, so that what can't be encoded fails who said it
        self._lines.append(line)
        self._bytes += len(line)


class Journal:
    """The one committer of this process."""

    def __init__(self, *, store: Store, publisher: Publisher, tasks: Tasks, diagnostics: Diagnostics) -> None:
        self._store = store
        self._publisher = publisher
        self._tasks = tasks
        self._diagnostics = diagnostics
        self._waiting: set[TurnWriter] = set()
        self._busy = False

    def writer(self, session_id: str, turn_id: str, epoch: int, after: int) -> TurnWriter:
        """For a turn whose own events begin after a seq."""
        return TurnWriter(journal=self, session_id=session_id, turn_id=turn_id, epoch=epoch, after=after)

    def wake(self, writer: TurnWriter) -> None:
        """Something waits. Committing begins at once, and goes on until nothing waits."""
        self._waiting.add(writer)
        if not self._busy:
            self._busy = True
            self._tasks.spawn(self._commit_all(), "journal")

    async def _commit_all(self) -> None:
        try:
            while self._waiting:
                writers, self._waiting = self._waiting, set()
                taken = [(writer, batch) for writer in writers if (batch := writer.take()) is not None]
                if taken:
                    await self._commit(taken)
        finally:
            self._busy = False

    async def _commit(self, taken: Sequence[tuple[TurnWriter, Batch]]) -> None:
        begun_s = time.monotonic()
        try:
            rows = await self._store.append([batch for _, batch in taken])
        except Unavailable:
            # One locked session must not hold up the others, so from here on each goes its own way.
            for writer, batch in taken:
                self._tasks.spawn(self._insist(writer, batch), "journal, alone")
        except Exception as error:  # handed to every turn that waits for this commit
            for writer, _ in taken:
                writer.settle(None, error)
        else:
            self._diagnostics.committed(time.monotonic() - begun_s)
            self._settle(taken, rows)

    async def _insist(self, writer: TurnWriter, batch: Batch) -> None:
        """Try one batch again and again. That is safe: a batch that entered without our knowing is found by its number."""
        clock = asyncio.get_running_loop().time
        deadline, wait_s = clock() + RETRY_FOR_S, 0.05
        batch = msgspec.structs.replace(batch, again=True)
        while True:
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.5))  # noqa: S311 - spreads retries
            wait_s = min(wait_s * 2, 1.0)
            try:
                rows = await self._store.append([batch])
            except Unavailable as error:
                if clock() >= deadline:
                    return writer.settle(None, error)
                log.warning("journal: the store is unavailable, trying again in %.1f s", wait_s)
            except Exception as error:  # the turn's own
                return writer.settle(None, error)
            else:
                return self._settle([(writer, batch)], rows)

    def _settle(self, taken: Sequence[tuple[TurnWriter, Batch]], rows: Sequence[Row | None]) -> None:
        self._publisher.publish([row for row in rows if row is not None])
        for (writer, _), row in zip(taken, rows, strict=True):
            writer.settle(row)
