"""Files of owners: kept piece by piece, read piece by piece, removed when nobody has used them (promise S-18)."""

import asyncio
import contextlib
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple, Protocol

from legato.core.errors import Busy, Corrupted, FileTooLarge, FileUnsupported, Invalid, Unavailable
from legato.core.files import PIECE_BYTES, File, clean_name
from legato.core.sniffing import sniff
from legato.engine.settings import EngineSettings
from legato.engine.tasks import Tasks, log
from legato.store import file_contents, files
from legato.store.files import NewFile
from legato.store.port import Store
from legato.store.ticks import Boot, this_boot

_OF_ONE_OWNER: Final = 16  # uploads on their way: of a message's ten files, and some more
_OF_ALL: Final = 256  # so many wait in temporary files at most
_AT_ONCE: Final = 32  # that are being stored
_PIECES: Final = 4  # of one read: a megabyte
_REST_S: Final = 0.005  # between two slices, for whoever else has to write
_COMING_US: Final = 3_600_000_000  # after it, nobody writes at it any more
_SWEPT: Final = 100
_AS_BEFORE_S: Final = 30.0  # so far apart, two jumps are one that has been reported


class Source(Protocol):
    """What a file is read from."""

    def read(self, count: int, /) -> bytes: ...

    def tell(self) -> int: ...

    def seek(self, to: int, /) -> int: ...


class Attachments:
    """The files of a store. ``on_gone`` is called when bytes are to be taken away."""

    def __init__(self, *, store: Store, tasks: Tasks, settings: EngineSettings, boot: Boot | None = None) -> None:
        self.on_gone: Callable[[], None] = lambda: None
        self._store = store
        self._tasks = tasks
        self._boot = boot or this_boot()
        self._most_bytes = settings.max_file_bytes
        self._room_bytes = settings.max_files_mb << 20
        self._unused_us = int(settings.unused_files_s * 1_000_000)
        self.arriving = Counter[str]()  # uploads on their way, by owner
        self._storing = asyncio.Semaphore(_AT_ONCE)
        self._jumped_s = 0.0

    @contextmanager
    def uploading(self, owner: str) -> Iterator[None]:
        """Room for one upload of an owner's, however long it is on its way: nobody else waits for it. Raises Busy."""
        if self.arriving[owner] >= _OF_ONE_OWNER:
            raise Busy(f"{_OF_ONE_OWNER} other files of yours are being uploaded; try again later.")
        if self.arriving.total() >= _OF_ALL:
            raise Busy("Too many files are being uploaded; try again later.")
        self.arriving[owner] += 1
        try:
            yield
        finally:
            self.arriving[owner] -= 1
            if not self.arriving[owner]:
                del self.arriving[owner]

    async def keep(self, owner: str, file: Source, name: str) -> File:
        """Keep what stands in a file, from its current position on.

        Raises:
            Invalid: it is empty. FileTooLarge, FileUnsupported, FilesFull; Unavailable.
        """
        async with self._storing:
            return await self._keep(owner, file, name)

    async def _keep(self, owner: str, file: Source, name: str) -> File:
        start = file.tell()
        found = await asyncio.to_thread(_looked_at, file, self._most_bytes)
        new = NewFile(owner=owner, name=clean_name(name), **found._asdict())
        begun = await self._store.write(files.begin, new, self._room_bytes)
        if isinstance(begun, File):
            return begun
        kept: File | None = None
        try:
            await asyncio.to_thread(file.seek, start)
            for number in range(file_contents.count_of(new.size)):
                piece = await asyncio.to_thread(file.read, PIECE_BYTES)
                await self._store.write(file_contents.put, begun, number, piece)
            kept = await self._store.write(files.finish, new, begun)
            return kept
        finally:
            if kept is None:
                await self._abandon(begun)

    async def _abandon(self, content_id: str) -> None:
        with contextlib.suppress(Unavailable):  # it goes all the same, an hour later
            await self._tasks.uncancelled(self._store.write(file_contents.abandon, content_id), "abandon a file")
        self.on_gone()

    async def get(self, owner: str, file_id: str) -> File:
        """Raises FileNotFound."""
        return await self._store.read(files.get, file_id, owner)

    async def remove(self, owner: str, file_id: str) -> None:
        """Raises FileNotFound; FileInUse: a message has it."""
        await self._store.write(files.remove, file_id, owner)
        self.on_gone()

    async def content(self, owner: str, file: File) -> AsyncIterator[bytes]:
        """Its bytes in pieces, each authorised when it is read: a file that is deleted meanwhile breaks off.

        Raises:
            FileNotFound, Corrupted: here, before anything is read further.
        """
        first = await self._store.read(files.read, file.id, owner, 0, _PIECES)
        return self._pieces(owner, file, first)

    async def _pieces(self, owner: str, file: File, first: list[bytes]) -> AsyncIterator[bytes]:
        at, found = 0, first
        while found:
            for piece in found:
                yield piece
            at += len(found)
            if at >= file_contents.count_of(file.size):
                return
            found = await self._store.read(files.read, file.id, owner, at, _PIECES)

    async def sweep(self) -> None:
        """Remove files that no message has had for too long; nothing while the clock can't be trusted."""
        swept = await self._store.write(files.sweep, self._boot, self._unused_us, _COMING_US, _SWEPT)
        count = swept.count
        while swept.count >= _SWEPT:
            swept = await self._store.write(files.sweep, self._boot, self._unused_us, _COMING_US, _SWEPT)
        if abs(swept.jumped_s - self._jumped_s) > _AS_BEFORE_S and swept.jumped_s:
            log.warning("the clock was put forward by %.0f s; no unused file is removed", swept.jumped_s)
        self._jumped_s = swept.jumped_s
        if count:
            self.on_gone()

    async def clean(self) -> None:
        """Take away what nobody has any more, a slice a transaction."""
        while await self._store.read(file_contents.is_untidy):
            if await self._store.write(file_contents.clean):
                return  # another process is at the rest
            await asyncio.sleep(_REST_S)


async def load(store: Store, session_id: str, file_id: str) -> bytes | None:
    """The content of a session's file for a request to a model, read in a thread; None where it has been removed.

    Raises:
        Corrupted.
    """
    if await store.read(files.get_in_session, file_id, session_id) is None:
        return None
    whole = bytearray()
    try:
        async for piece in pieces_in_session(store, session_id, file_id):
            whole += piece
    except Corrupted:
        log.error("file %s of session %s is damaged; see `legato doctor`", file_id, session_id)
        raise
    return bytes(whole)


async def pieces_in_session(store: Store, session_id: str, file_id: str) -> AsyncIterator[bytes]:
    """The content of a session's file; it breaks off where it is removed meanwhile. Raises Corrupted."""
    at = 0
    while found := await store.read(files.read_in_session, file_id, session_id, at, _PIECES):
        for piece in found:
            yield piece
        at += len(found)


class _Found(NamedTuple):
    media_type: str
    tokens: int
    size: int
    digest: str


class _Passing:
    """The pieces of a file as they pass by, counted and digested."""

    def __init__(self, file: Source, most_bytes: int) -> None:
        self.size = 0
        self.digest = hashlib.sha256()
        self._file = file
        self._most_bytes = most_bytes

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._file.read(PIECE_BYTES):
            self.size += len(piece)
            if self.size > self._most_bytes:
                raise FileTooLarge(
                    f"A file may have {self._most_bytes >> 20} MiB.", limit=self._most_bytes, given=self.size
                )
            self.digest.update(piece)
            yield piece


def _looked_at(file: Source, most_bytes: int) -> _Found:
    passing = _Passing(file, most_bytes)
    pieces = iter(passing)
    found = sniff(pieces)
    for _ in pieces:  # an image is known by its beginning
        continue
    if not passing.size:
        raise Invalid("The file is empty.")
    if found is None:
        raise FileUnsupported
    return _Found(found.media_type, found.tokens, passing.size, passing.digest.hexdigest())
