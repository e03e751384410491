"""What a file is, told by its bytes: never by its name, nor by what its sender claims (promise S-18).

Images and PDF are told by how they begin; whatever else is text in UTF-8 (or in UTF-16 with its byte order mark) is text,
HTML and SVG among it; the rest is nothing that can be attached. Nothing is decoded: a bomb stays packed.

What a model takes for a file is estimated: an image a token for each 28 x 28 pixels, at least 800 and at most 4,800 (above
what OpenAI's tiles and Anthropic's pixels / 750 come to, after both have made it smaller); a page of PDF 3,000, as Anthropic
says; a text by ``estimate_tokens``.
"""

import codecs
import re
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from legato.core.files import PDF, TEXT, encoding
from legato.core.pdf import PAGE_TOKENS, count_pages
from legato.core.tokens import estimate_tokens

_MOST_SIDE: Final = 65_535
_PATCH: Final = 28
_LEAST_IMAGE: Final = 800
_MOST_IMAGE: Final = 4_800
_HEAD_BYTES: Final = 1 << 20
_CONTROLS: Final = re.compile("[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f]")
_NO_FRAME: Final = frozenset({0xC4, 0xC8, 0xCC})  # among the markers C0 to CF, which begin an image otherwise
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})


class Sniffed(NamedTuple):
    """What it is, and what a model takes for it at most."""

    media_type: str
    tokens: int


def sniff(pieces: Iterable[bytes]) -> Sniffed | None:
    """What a file is that comes in these pieces, each a megabyte at most; None: nothing that can be attached.

    Of a PDF the whole is held once, of everything else a piece.
    """
    rest = iter(pieces)
    head = b""
    for piece in rest:
        head += piece
        if len(head) >= _HEAD_BYTES:
            break
    if (image := _image(head)) is not None:
        return image
    if re.match(rb"%PDF-\d", head):
        return Sniffed(PDF, PAGE_TOKENS * count_pages(b"".join((head, *rest))))
    return _text(head, rest)


def _text(head: bytes, rest: Iterable[bytes]) -> Sniffed | None:
    decoder = codecs.getincrementaldecoder(encoding(head[:2]))()
    tokens = 0
    try:
        for piece in _ended(head, rest):
            text = decoder.decode(piece or b"", final=piece is None)
            if _CONTROLS.search(text):
                return None
            tokens += estimate_tokens(text) + 2  # what a seam may hide
    except UnicodeError:
        return None
    return Sniffed(TEXT, tokens)


def _ended(head: bytes, rest: Iterable[bytes]) -> Iterable[bytes | None]:
    yield head
    yield from rest
    yield None


def _image(head: bytes) -> Sniffed | None:
    for media_type, size_of in _IMAGES:
        try:
            size = size_of(head)
        except (IndexError, struct.error):
            size = None
        if size is not None:
            return Sniffed(media_type, _image_tokens(*size)) if all(0 < side <= _MOST_SIDE for side in size) else None
    return None


def _image_tokens(width: int, height: int) -> int:
    patches = -(-width // _PATCH) * -(-height // _PATCH)
    return max(_LEAST_IMAGE, min(patches, _MOST_IMAGE))


def _png(head: bytes) -> tuple[int, int] | None:
    if not head.startswith(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"):
        return None
    width, height = struct.unpack_from(">II", head, 16)
    return width, height


def _gif(head: bytes) -> tuple[int, int] | None:
    if not head.startswith((b"GIF87a", b"GIF89a")):
        return None
    width, height = struct.unpack_from("<HH", head, 6)
    return width, height


def _webp(head: bytes) -> tuple[int, int] | None:
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        return None
    match head[12:16]:
        case b"VP8X":
            return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
        case b"VP8L" if head[20] == 0x2F:
            (bits,) = struct.unpack_from("<I", head, 21)
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 " if head[23:26] == b"\x9d\x01\x2a":
            width, height = struct.unpack_from("<HH", head, 26)
            return width & 0x3FFF, height & 0x3FFF
        case _:
            return None


def _jpeg(head: bytes) -> tuple[int, int] | None:
    """From segment to segment up to the one that begins the image; where that is too far away, as large as can be."""
    if not head.startswith(b"\xff\xd8\xff"):
        return None
    at = 2
    while at + 4 <= len(head):
        if head[at] != 0xFF:
            return None
        marker = head[at + 1]
        if marker == 0xFF or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            height, width = struct.unpack_from(">HH", head, at + 5)
            return width, height or 1  # it may stand at the end
        length = int.from_bytes(head[at + 2 : at + 4], "big")
        if length < 2 or marker in (0xD8, 0xD9, 0xDA):
            return None
        at += 2 + length
    return (_MOST_SIDE, _MOST_SIDE) if len(head) >= _HEAD_BYTES else None


_IMAGES: Final = (("image/png", _png), ("image/jpeg", _jpeg), ("image/gif", _gif), ("image/webp", _webp))
