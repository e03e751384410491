"""Small files of each kind, made here byte by byte, and some that pretend to be one."""

import io
import struct
import zlib
from typing import Any, Final

from sqlalchemy import Connection, func, select, update

from legato.core.files import PIECE_BYTES, File
from legato.core.model import FilePart
from legato.engine.attachments import Attachments
from legato.engine.settings import EngineSettings
from legato.engine.tasks import Tasks
from legato.store import schema
from legato.store.port import Store


def png(width: int = 2, height: int = 2) -> bytes:
    """A whole image: grey."""
    rows = b"".join(b"\0" + b"\x80" * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows, 1)) + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def jpeg(width: int = 200, height: int = 100, before: int = 0) -> bytes:
    """The segments of one, up to its frame; ``before`` bytes of other segments come first."""
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00"
    exif = b""
    while before > 0:
        length = min(before, 65_533)
        exif += b"\xff\xe1" + struct.pack(">H", length + 2) + b"E" * length
        before -= length
    return b"\xff\xd8\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0" + exif + frame + b"\xff\xda\0\x02\xff\xd9"


def gif(width: int = 3, height: int = 4) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0;"


def webp(width: int = 800, height: int = 600) -> bytes:
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0"
    body += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", len(body)) + body


def pdf(pages: int = 1, packed: int = 0) -> bytes:
    """One with so many pages in sight, and so many in a packed stream of objects."""
    out = b"%PDF-1.7\n1 0 obj<</Type/Pages/Count 9>>endobj\n"
    out += b"".join(b"%d 0 obj<</Type /Page /Parent 1 0 R>>endobj\n" % (number + 2) for number in range(pages))
    if packed:
        objects = zlib.compress(b"<</Type/Page/Parent 1 0 R>>\n" * packed)
        out += b"99 0 obj<</Type/ObjStm/N 9/Length %d>>stream\r\n" % len(objects) + objects + b"\nendstream endobj\n"
    return out + b"trailer<</Root 1 0 R>>\n%%EOF"


def noise(size: int, seed: int = 1) -> bytes:
    """An image of this size whose rest is nothing in particular."""
    head = png()
    piece = bytes(range(256)) * 4 + struct.pack(">I", seed)
    return head + (piece * (size // len(piece) + 1))[: size - len(head)]


#: What each kind is, by its media type.
KINDS: Final = {
    "image/png": png(),
    "image/jpeg": jpeg(),
    "image/gif": gif(),
    "image/webp": webp(),
    "application/pdf": pdf(),
    "text/plain": b"Gr\xc3\xbcezi, a few words.\n",
}

#: What looks like something, but is text: it is stored as that, and never shown as anything else.
TEXTS: Final = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "html": b"<!DOCTYPE html><script>alert(document.domain)</script>",
    "pdf not at the beginning": b"<html>%PDF-1.4 /Type /Page",
    "only a BOM": b"\xef\xbb\xbf",
    "utf-16": "Привет".encode("utf-16"),
}

#: What can't be attached.
REFUSED: Final = {
    "a program": b"MZ\x90\0\x03\0\0\0",
    "an archive": b"PK\x03\x04\x14\0\0\0",
    "another encoding": "Привет".encode("cp1251"),
    "a torn character": "Grüezi".encode()[:3],
    "half a pair": b"\xff\xfe\x00\xd8a\x00",
    "NUL in a text": b"abc\0def",
    "a torn PNG": png()[:20],
    "a PNG without sides": png(0, 5),
    "an endless PNG": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\xff" * 8,
    "a JPEG without an image": b"\xff\xd8\xff\xd9",
    "a JPEG that is none": b"\xff\xd8\xff<html>",
    "a WebP of another kind": b"RIFF\x10\0\0\0WEBPEVIL" + b"\0" * 20,
    "another RIFF": b"RIFF\x10\0\0\0WAVEfmt \0\0",
    "a TIFF": b"II*\0\x08\0\0\0",
}


def pieces(content: bytes) -> list[bytes]:
    return [content[at : at + PIECE_BYTES] for at in range(0, len(content), PIECE_BYTES)]


def file(content: bytes) -> io.BytesIO:
    return io.BytesIO(content)


def attachments(store: Store, **settings: Any) -> Attachments:
    return Attachments(store=store, tasks=Tasks(), settings=EngineSettings(**settings))


async def keep(store: Store, content: bytes | None = None, name: str = "cat.png", owner: str = "ann") -> File:
    """A file of an owner's that no message has."""
    return await attachments(store).keep(owner, file(png() if content is None else content), name)


def rot(conn: Connection, file_id: str) -> None:
    """Something falls over in the bytes of a file."""
    pieces, files = schema.file_pieces, schema.files
    content_id = select(files.c.content_id).where(files.c.id == file_id).scalar_subquery()
    conn.execute(update(pieces).where(pieces.c.content_id == content_id).values(payload=b"\x89PNGwrong"))


async def content_of(store: Store, file_id: str, owner: str = "ann") -> bytes:
    """Raises FileNotFound, Corrupted."""
    kept = attachments(store)
    return b"".join([piece async for piece in await kept.content(owner, await kept.get(owner, file_id))])


def part(kept: File | str) -> FilePart:
    """What a client sends of a file."""
    return FilePart(kept if isinstance(kept, str) else kept.id, "", "", 0)


async def counted(store: Store) -> tuple[int, int, int]:
    """How many files, contents and pieces there are."""
    return await store.read(_count)


def _count(conn: Connection) -> tuple[int, int, int]:
    files, contents, pieces_ = (
        conn.execute(select(func.count()).select_from(table)).scalar_one()
        for table in (schema.files, schema.file_contents, schema.file_pieces)
    )
    return files, contents, pieces_
