"""The archives that ChatGPT and Claude send: only ``conversations.json`` in them is looked at, and never more than fits."""

import re
import struct
import zipfile
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, cast

from legato.transfer.elements import TooLarge

MAX_UNPACKED_BYTES: Final = 1 << 30
_MAX_DIRECTORY_BYTES: Final = 16 << 20
_MAX_MEMBERS: Final = 100
_NAME: Final = re.compile(r"(?:.*/)?conversations(?:[-_ ]?\d+)?\.json")
_END: Final = b"PK\x05\x06"
_END_BYTES: Final = 22


def is_zip(file: BinaryIO) -> bool:
    file.seek(0)
    return file.read(4) == b"PK\x03\x04"


def members(file: BinaryIO) -> Iterator[tuple[str, BinaryIO]]:
    """The files of conversations in an archive, by name. Raises TooLarge."""
    _check_directory(file)
    try:
        with zipfile.ZipFile(file) as archive:
            names = sorted(name for name in archive.namelist() if _NAME.fullmatch(name))[:_MAX_MEMBERS]
            room = _Room()
            for name in names:
                yield name, cast(BinaryIO, _Member(archive.open(name), room))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise TooLarge(f"the archive can't be unpacked: {type(error).__name__}") from error


def _check_directory(file: BinaryIO) -> None:
    """An archive's list of files is read as a whole; one that is larger than any export's is refused before that."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _END_BYTES - 65_536))
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_BYTES:
        raise TooLarge("the archive is cut off")
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
        data: bytes = self._file.read(count)
        self._room.take(len(data))
        return data

    def readline(self, limit: int) -> bytes:
        data: bytes = self._file.readline(limit)
        self._room.take(len(data))
        return data

    def __enter__(self) -> "_Member":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
