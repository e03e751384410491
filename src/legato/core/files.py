"""Files that are attached to messages: what they may be called, what a model has to be able to do for them, how texts look.

What a file is, is told by its bytes alone (``core.sniffing``); its name is only shown.
"""

import codecs
import re
import unicodedata
from datetime import datetime
from typing import Final

import msgspec

from legato.core.text import normalise

#: Promise S-18.
MOST_BYTES: Final = 20 << 20
MOST_OF_MESSAGE: Final = 10
#: What one request to a model carries of images and documents: 32 MiB as base 64, the least that providers take.
MOST_SENT_BYTES: Final = 24 << 20
#: Content is stored and carried in pieces; a multiple of 3, so that the base 64 of pieces is that of the whole.
PIECE_BYTES: Final = 255 * 1024

TEXT: Final = "text/plain"
PDF: Final = "application/pdf"
IMAGES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp")

NAMELESS: Final = "file"
_MOST_NAME: Final = 255
_SEPARATORS: Final = re.compile(r"[/\\]")
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file of an owner's. ``digest`` is its SHA-256; ``session_id`` and ``message_id`` are None until a message has it.

    ``tokens`` is what a model takes for it at most: an estimate.
    """

    id: str
    name: str
    media_type: str
    size: int
    digest: str
    tokens: int
    created_at: datetime
    session_id: str | None = None
    message_id: str | None = None


def capability(media_type: str) -> str:
    """What a model must be able to do for files of this type, in the words of the catalogue."""
    return "images" if media_type in IMAGES else "pdf" if media_type == PDF else "text"


def kind(media_type: str) -> str:
    """What people call it."""
    return {"images": "image", "pdf": "document"}.get(capability(media_type), "text file")


def clean_name(name: str) -> str:
    """The last part of a path, without what nobody sees (directions of writing among it), of at most 255 characters."""
    last = _SEPARATORS.split(normalise(name))[-1]
    seen = "".join(" " if character.isspace() else character for character in last if _is_seen(character))
    name = " ".join(seen.split())
    if not name.strip("."):
        return NAMELESS
    if len(name) <= _MOST_NAME:
        return name
    stem, dot, ending = name.rpartition(".")
    return stem[: _MOST_NAME - 1 - len(ending)] + dot + ending if stem and len(ending) < 20 else name[:_MOST_NAME]


def _is_seen(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) not in _UNSEEN


def encoding(head: bytes) -> str:
    """How a text that begins so is encoded: UTF-8, or what its byte order mark says."""
    return "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"


def text_of(content: bytes) -> str:
    """The text of a file that was sniffed as one."""
    return normalise(content.decode(encoding(content[:2]), "replace"))


def inlined(file_id: str, name: str, text: str) -> str:
    """A text file as a model is given it. Who wrote the text could not know its id, and so can't end it early."""
    return f"[file {name} ({file_id}) begins]\n{text}\n[file {file_id} ends]"


def unseen(name: str, media_type: str, why: str) -> str:
    """What stands in a prompt where a file was."""
    return f"[{kind(media_type)} {name} was here: {why}]"


def weight(size: int) -> str:
    """A number of bytes for people."""
    for unit in ("B", "KB", "MB"):
        if size < 1000 or unit == "MB":
            break
        size = -(-size // 1000)
    return f"{size} {unit}"


def cannot(media_type: str) -> str:
    return "this model can't see it" if media_type in IMAGES else "this model can't read it"
