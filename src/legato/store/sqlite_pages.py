"""What SQLite leaves lying about between the cells of its pages, and how it is wiped (guarantee G12).

``secure_delete`` zeroes what is deleted, where it stands. But when a page is divided, cells move to other pages, and their old
bytes stay in what is now the unallocated middle of the first one; nobody can find them there to delete them. Measured: of
40 deleted sessions among 200, 154 pieces in 16 of 80,000 pages. Once the middle is zeroed, none is left.

The format is that of https://www.sqlite.org/fileformat2.html, section 1.6: a page of a b-tree has a header of 8 bytes (12 if
it is an inner one; after 100 bytes of the file's on the first page), an array of cell pointers, the unallocated middle, and
the cells. Its first byte says what it is; that of free and of overflow pages is 0 in every file of less than 2**25 pages.
"""

import os
import struct
from collections.abc import Iterator
from typing import Final

_KINDS: Final = {2: 12, 5: 12, 10: 8, 13: 8}  # the first byte of a b-tree's page, and how long its header is
_HEAD: Final = struct.Struct(">BHHH")
_FILE_HEAD: Final = 100
_MOST_PAGES: Final = 1 << 25
_CHUNK_BYTES: Final = 1 << 20


def middle(page: bytes, first: bool, reserved: int) -> tuple[int, int] | None:
    """Where the unallocated middle of a page begins and ends; None where it has none, or is no page of a b-tree."""
    start = _FILE_HEAD if first else 0
    kind, _, cells, content = _HEAD.unpack_from(page, start)
    if kind not in _KINDS:
        return None
    begin, end = start + _KINDS[kind] + 2 * cells, content or 65_536
    return (begin, end) if begin < end <= len(page) - reserved else None


class Pages:
    """The pages of a database's file, by a descriptor that stays open as long as any connection of this process.

    (To close one sooner would give up the locks of all the others: that is how POSIX has it.)
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def littered(self) -> Iterator[list[int]]:
        """The numbers (from 0) of pages whose middle is not empty, about a megabyte's at a time."""
        size, reserved = self._layout()
        a_chunk = max(1, _CHUNK_BYTES // size)
        for start in range(0, min(os.fstat(self._descriptor).st_size // size, _MOST_PAGES), a_chunk):
            chunk = os.pread(self._descriptor, a_chunk * size, start * size)
            pages = (chunk[at : at + size] for at in range(0, len(chunk) - size + 1, size))
            yield [start + at for at, page in enumerate(pages) if _litter(page, start + at == 0, reserved)]

    def wipe(self, numbers: list[int]) -> None:
        """Zero the middle of these pages. Only while nobody writes to the file, and what was written is all in it."""
        size, reserved = self._layout()
        for number in numbers:
            page = os.pread(self._descriptor, size, number * size)
            if len(page) == size and (found := _litter(page, number == 0, reserved)) is not None:
                begin, end = found
                os.pwrite(self._descriptor, bytes(end - begin), number * size + begin)

    def sync(self) -> None:
        """Have on disk what was wiped."""
        os.fsync(self._descriptor)

    def _layout(self) -> tuple[int, int]:
        """How long a page is, and how much of its end is reserved."""
        head = os.pread(self._descriptor, _FILE_HEAD, 0)
        size = int.from_bytes(head[16:18], "big")
        return 65_536 if size == 1 else size, head[20]


def _litter(page: bytes, first: bool, reserved: int) -> tuple[int, int] | None:
    """The middle of a page that is not empty."""
    found = middle(page, first, reserved)
    return found if found is not None and page.count(0, *found) != found[1] - found[0] else None
