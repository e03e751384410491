"""How many pages a PDF has, without a reader of PDF: for an estimate of what a model takes for it.

Pages are objects of ``/Type /Page``. They stand in the file as they are, or packed in object streams, which are looked into as
far as is cheap. Of earlier versions in the same file all are counted: too many rather than too few.
"""

import re
import zlib
from collections.abc import Iterator
from typing import Final

#: Anthropic's documentation: 1,500 to 3,000 tokens a page.
PAGE_TOKENS: Final = 3_000

_PAGE: Final = re.compile(rb"/Type\s{0,9}/Page(?![A-Za-z])")
_PACKED: Final = re.compile(rb"/ObjStm.{0,500}?stream\r?\n", re.DOTALL)
_MOST_STREAMS: Final = 2_000
_MOST_UNPACKED: Final = 32 << 20
_MOST_OF_ONE: Final = 4 << 20
_UNTOLD_BYTES: Final = 64 * 1024  # a page, where nothing tells


def count_pages(content: bytes) -> int:
    """At least 1."""
    pages = len(_PAGE.findall(content)) + sum(len(_PAGE.findall(piece)) for piece in _unpacked(content))
    return pages or 1 + len(content) // _UNTOLD_BYTES


def _unpacked(content: bytes) -> Iterator[bytes]:
    left = _MOST_UNPACKED
    for number, found in enumerate(_PACKED.finditer(content)):
        if number == _MOST_STREAMS or left <= 0:
            return
        packed = memoryview(content)[found.end() : found.end() + _MOST_OF_ONE]
        try:
            unpacked = zlib.decompressobj().decompress(packed, min(left, _MOST_OF_ONE))
        except zlib.error:  # encrypted, or packed in another way
            continue
        left -= len(unpacked)
        yield unpacked
