"""The elements of a JSON array, one after the other, however large the array: a chunk and an element are all that is held."""

import re
from collections.abc import Generator, Iterator
from typing import Any, BinaryIO, Final

import msgspec

CHUNK_BYTES: Final = 64 * 1024
MAX_ELEMENT_BYTES: Final = 64 << 20
MAX_LINE_BYTES: Final = 4 << 20
_MARK: Final = re.compile(rb'["\[\]{},]')
_END_OF_STRING: Final = re.compile(rb'["\\]')
_BLANK: Final = b" \t\r\n"


class Refused(ValueError):
    """A file, or what is in it, that can't be imported. The message says why."""


class TooLarge(Refused):
    """One conversation is larger than can be held."""


class Splitter:
    """Fed with the bytes of an array of objects, it gives each of them whole. What stands around them is not looked at."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._at = 0  # how far ``held`` was looked through
        self._depth = 0
        self._in_string = False
        self._start = -1

    @property
    def whole(self) -> bool:
        """Whether the array has come to its end."""
        return self._depth <= 0 and not self._in_string

    def feed(self, data: bytes | memoryview) -> Iterator[bytes]:
        self._held += data
        while (end := self._next_end()) >= 0:
            yield bytes(self._held[self._start : end])
            del self._held[:end]
            self._start, self._at = -1, 0
        self._forget()

    def _next_end(self) -> int:
        """Where an element ends that is whole; -1: more is needed."""
        held = self._held
        while True:
            if self._in_string and not self._leave_string():
                return -1
            found = _MARK.search(held, self._at)
            if found is None:
                self._at = len(held)
                return -1
            self._at = found.end()
            mark = held[found.start()]
            if mark == 0x22:  # "
                self._in_string = True
            elif mark in b"[{":
                self._depth += 1
                if self._depth == 2:  # the array itself is the first
                    self._start = found.start()
            elif mark in b"]}":
                self._depth -= 1
                if self._depth == 1 and self._start >= 0:
                    return self._at

    def _leave_string(self) -> bool:
        held = self._held
        while (found := _END_OF_STRING.search(held, self._at)) is not None:
            if held[found.start()] == 0x22:  # "
                self._in_string, self._at = False, found.end()
                return True
            if found.end() == len(held):  # what it escapes is still to come
                self._at = found.start()
                return False
            self._at = found.end() + 1
        self._at = len(held)
        return False

    def _forget(self) -> None:
        if self._start < 0:
            del self._held[: self._at]
            self._at = 0
        elif len(self._held) - self._start > MAX_ELEMENT_BYTES:
            raise TooLarge(f"one conversation is larger than {MAX_ELEMENT_BYTES >> 20} MiB")


def elements(file: BinaryIO) -> Generator[bytes, None, bool]:
    """Each element of the array in a file; whether the array came to its end. Raises TooLarge."""
    splitter = Splitter()
    while data := file.read(CHUNK_BYTES):
        yield from splitter.feed(data)
    return splitter.whole


def split(array: bytes | msgspec.Raw) -> Iterator[bytes]:
    """Each element of an array that is held already."""
    splitter, whole = Splitter(), memoryview(array)
    for at in range(0, len(whole), CHUNK_BYTES):
        yield from splitter.feed(whole[at : at + CHUNK_BYTES])


def lines(file: Any) -> Iterator[bytes | None]:
    """Each line of a file that has something in it; None for one that is too long."""
    while line := file.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE_BYTES)
            yield None
        elif line.strip(_BLANK):
            yield line


def count(raw: bytes, marks: tuple[bytes, ...]) -> int:
    """How often any of ``marks`` stands in ``raw``; looked for in pieces, as nobody else runs meanwhile."""
    return sum(raw.count(mark, at, at + CHUNK_BYTES) for at in range(0, len(raw), CHUNK_BYTES) for mark in marks)
