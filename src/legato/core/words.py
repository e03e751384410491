"""The words of a text, as they are looked for: without case and accents, the same on every database.

Where a script does not part its words (Chinese, Japanese, Korean, Thai …) each character is a word, and what stands together is
found as what follows each other. A longer run of letters than any word has is parted into words of 64 characters.
"""

import re
import unicodedata
from collections.abc import Iterator
from itertools import accumulate
from typing import Final, NamedTuple

#: Words of a message that are looked at; what comes after them is not found. Positions in PostgreSQL's index end there.
MOST_WORDS: Final = 16_000
#: And how long they may be together, each with a space. PostgreSQL's index of a message holds 1 MiB: of each word its letters,
#: its owner's key, its places, and what they are kept in, which is at most 12 bytes more than the word and its space.
MOST_BYTES: Final = 800_000

# Thai and Lao, Myanmar, Khmer, kana, Han, Hangul.
_ALONE: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17b3\u3041-\u3096\u30a1-\u30fa\u30fc\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
# What Python does not count as letters: the vowel signs of Indian scripts.
_SIGNS: Final = "\u0900-\u0963\u0966-\u0dff"
_WORD: Final = re.compile(rf"[{_ALONE}]|(?:[^\W_{_ALONE}]|[{_SIGNS}]){{1,64}}")
_ASCII_WORD: Final = re.compile(r"[a-z0-9]{1,64}")
# Accents, and what Hebrew and Arabic may be written without.
_ACCENT: Final = re.compile("[\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u06d6-\u06ed]")


class Word(NamedTuple):
    """A word and where it stands in the text."""

    text: str
    start: int
    end: int


def words(text: str, most: int = MOST_WORDS) -> list[str]:
    """The first ``most`` words of a text, folded; fewer where they are very long."""
    said = folded(composed(text))
    found = (_ASCII_WORD if said.isascii() else _WORD).findall(said)[:most]
    ends = accumulate(len(word.encode()) + 1 for word in found)
    return [word for word, end in zip(found, ends, strict=True) if end <= MOST_BYTES]


def composed(text: str) -> str:
    """The text with each letter and its accents as one character where there is one; ``places`` counts in it."""
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def folded(text: str) -> str:
    """A ``composed`` text without case, accents and width."""
    return text.lower() if text.isascii() else text.translate(_FOLDED)


def places(text: str) -> Iterator[Word]:
    """The words of a ``composed`` text with their places, one after another as they are asked for."""
    at = _places_of(text)
    for number, match in enumerate(_WORD.finditer(folded(text))):
        if number == MOST_WORDS:
            return
        start, end = match.span()
        yield Word(match[0], at[start], at[end - 1] + 1)


def _places_of(text: str) -> range | list[int]:
    """For each character of the folded text the place of the one that it comes from."""
    if text.isascii() or all(len(_FOLDED[ord(character)]) == 1 for character in set(text)):
        return range(len(text))
    return [place for place, character in enumerate(text) for _ in _FOLDED[ord(character)]]


class _Folding(dict[int, str]):
    """Each character without case, accents and width; made when it is met."""

    def __missing__(self, code: int) -> str:
        apart = _ACCENT.sub("", unicodedata.normalize("NFKD", chr(code)))
        folded = self[code] = unicodedata.normalize("NFC", apart.lower())
        return folded


_FOLDED: Final = _Folding()
