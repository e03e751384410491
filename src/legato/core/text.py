"""Normalisation of text from outside: one rule, applied once, so that stream, history, search and export agree.

Kept as it is: everything a UTF-8 database can hold, ``\\r``, U+2028 and a byte order mark included (JSON carries them).
Replaced by U+FFFD: NUL (PostgreSQL can't store it) and surrogates without their other half (UTF-8 can't encode them).
Joined: a surrogate pair that arrives as two characters, even in two pieces.
"""

import re
from typing import Final

REPLACEMENT: Final = "\ufffd"
_SUSPECT: Final = re.compile("[\x00\ud800-\udfff]")


def normalise(text: str) -> str:
    """``text`` as it may be stored and sent. Idempotent."""
    if _SUSPECT.search(text) is None:
        return text
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return joined.replace("\x00", REPLACEMENT)


def abridged(text: str, most: int) -> str:
    """``text``, or ``most`` characters of its beginning and its end, with how many are left out between them."""
    left_out = len(text) - most
    if left_out <= 0:
        return text
    end = most // 4
    return f"{text[: most - end]}… [{left_out} characters left out] …{text[-end:]}"


class Normaliser:
    """``normalise`` for text that arrives in pieces: holds back a high surrogate until its other half may come.

    The joined output for any split of a text equals ``normalise`` of the whole.
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        text = self._held + piece if self._held else piece
        self._held = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._held, text = text[-1], text[:-1]
        return normalise(text)

    def flush(self) -> str:
        held, self._held = self._held, ""
        return normalise(held)
