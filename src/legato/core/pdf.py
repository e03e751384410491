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
_PAGE_BYTES: Final = 20  # of the longest, and what must not follow it
_WINDOW: Final = 256 * 1024  # no search goes on for longer without letting others run
_PACKED: Final = b"/ObjStm"
_BEGINS: Final = re.compile(rb"stream\r?\n")
_MOST_BETWEEN: Final = 500
_MOST_STREAMS: Final = 2_000
_MOST_UNPACKED: Final = 32 << 20
_MOST_OF_ONE: Final = 4 << 20
_UNTOLD_BYTES: Final = 64 * 1024  # a page, where nothing tells


def count_pages(content: bytes) -> int:
    """At least 1."""
    pages = _pages(content) + sum(map(_pages, _unpacked(content)))
    return pages or 1 + len(content) // _UNTOLD_BYTES


def _pages(content: bytes) -> int:
    return sum(
        found.start() < start + _WINDOW
        for start in range(0, len(content), _WINDOW)
        for found in _PAGE.finditer(content, start, start + _WINDOW + _PAGE_BYTES)
    )


def _streams(content: bytes) -> Iterator[int]:
    """Where what is packed begins, of the first object streams."""
    at = 0
    for _ in range(_MOST_STREAMS):
        at = content.find(_PACKED, at) + len(_PACKED)
        if at < len(_PACKED):
            return
        if begins := _BEGINS.search(content, at, at + _MOST_BETWEEN):
            yield begins.end()


def _unpacked(content: bytes) -> Iterator[bytes]:
    left = _MOST_UNPACKED
    for start in _streams(content):
        if left <= 0:
            return
        packed = memoryview(content)[start : start + _MOST_OF_ONE]
        try:
            unpacked = zlib.decompressobj().decompress(packed, min(left, _MOST_OF_ONE))
        except zlib.error:  # encrypted, or packed in another way
            continue
        left -= len(unpacked)
        yield unpacked
