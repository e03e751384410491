"""The archives that ChatGPT and Claude send: only ``conversations.json`` in them is looked at, and never more than fits."""

import re
import struct
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, cast

from legato.transfer.elements import Refused, TooLarge

MAX_UNPACKED_BYTES: Final = 1 << 30
_MAX_DIRECTORY_BYTES: Final = 4 << 20  # of tens of thousands of files; each takes ten times as much when it is read
_NAME: Final = re.compile(r"(?:.*/)?conversations(?:[-_ ]?\d+)?\.json")
_END: Final = b"PK\x05\x06"
_END_BYTES: Final = 22
_ZIP64: Final = b"PK\x06\x07"
_ZIP64_BYTES: Final = 20
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED: Final = 1
# The last three: names that are no text, and numbers that lead nowhere.
_BROKEN: Final = (
    *(zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, struct.error),
    *(ValueError, OverflowError, OSError),
)


class Damaged(Refused):
    """An archive that can't be unpacked."""


def is_zip(file: BinaryIO) -> bool:
    file.seek(0)
    return file.read(4) == b"PK\x03\x04"


def members(file: BinaryIO) -> Iterator[tuple[str, BinaryIO]]:
    """The files of conversations in an archive, by name. Raises TooLarge, Damaged."""
    _check_directory(file)
    with _unpacking():
        archive = zipfile.ZipFile(file)
    with archive:
        found = {info.filename: info for info in archive.infolist() if _NAME.fullmatch(info.filename)}
        room = _Room()
        for name in sorted(found):
            with _unpacking():
                member = _opened(archive, found[name])
            yield name, cast(BinaryIO, _Member(member, room))


def _opened(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Any:
    """Raises Damaged, and whatever ``zipfile`` does."""
    if info.flag_bits & _ENCRYPTED:
        raise Damaged("the archive is encrypted")
    if info.compress_type not in _METHODS:
        raise Damaged("the archive is packed in a way that is not read here")
    return archive.open(info)


@contextmanager
def _unpacking() -> Generator[None, None, None]:
    """Whatever is wrong with an archive is one error. Raises Damaged."""
    try:
        yield
    except Refused:
        raise
    except _BROKEN as error:
        raise Damaged("the archive is damaged") from error


def _check_directory(file: BinaryIO) -> None:
    """An archive's list of files is read as a whole; one that is larger than any export's is refused before that."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _ZIP64_BYTES - _END_BYTES - 65_536))
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_BYTES:
        raise Damaged("the archive is cut off")
    # Another list of files is named there, of any length. No export needs one: they are for archives beyond 4 GiB.
    if tail[max(0, at - _ZIP64_BYTES) : at].startswith(_ZIP64):
        raise TooLarge("the archive is in the format for very large ones (ZIP64)")
    if struct.unpack_from("<I", tail, at + 12)[0] > _MAX_DIRECTORY_BYTES:
        raise TooLarge("the archive has too many files")
    file.seek(0)


class _Room:
    """How much an archive may still unpack to."""

    def __init__(self) -> None:
        self._left = MAX_UNPACKED_BYTES

    def take(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise TooLarge(f"the archive unpacks to more than {MAX_UNPACKED_BYTES >> 30} GiB")


class _Member:
    """A file of an archive that counts what comes out of it."""

    def __init__(self, file: Any, room: _Room) -> None:
        self._file = file
        self._room = room

    def read(self, count: int) -> bytes:
        with _unpacking():
            data: bytes = self._file.read(count)
        self._room.take(len(data))
        return data

    def readline(self, limit: int) -> bytes:
        with _unpacking():
            data: bytes = self._file.readline(limit)
        self._room.take(len(data))
        return data

    def __enter__(self) -> "_Member":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
