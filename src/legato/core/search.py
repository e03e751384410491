"""What somebody looks for: any text is a question, and none is an error.

All its words have to be there, each as a whole, the last one as the beginning of one: it may still be being typed. What stands
"in quotes" has to be there word after word, and so does what is not parted by space (``foo-bar``, a Chinese word).
"""

import re
from typing import Final, NamedTuple

from legato.core.text import normalise
from legato.core.words import words

#: What of a question is looked at.
MOST_CHARS: Final = 2_000
MOST_ASKED: Final = 32
#: Characters of what was said that are counted.
MOST_COUNTED: Final = 10_000

_PIECE: Final = re.compile(r'"([^"]*)"|([^\s"]+)')
_QUOTES: Final = str.maketrans(dict.fromkeys("“”„‟«»", '"'))


class Term(NamedTuple):
    """Words that follow each other. ``open``: the last of them may go on; ``exact``: they stood in quotes."""

    words: tuple[str, ...]
    open: bool = False
    exact: bool = False

    def __str__(self) -> str:
        return " ".join(self.words)


def parse(text: str) -> tuple[Term, ...]:
    """What ``text`` asks for, at most 32 words in all; nothing where it has no words."""
    terms: list[Term] = []
    left = MOST_ASKED
    pieces = list(_PIECE.finditer(normalise(text[:MOST_CHARS]).translate(_QUOTES)))
    for piece in pieces:
        found = tuple(words(piece[0], left))
        left -= len(found)
        if found:
            quoted = piece[1] is not None
            terms.append(Term(found, open=piece is pieces[-1] and not quoted, exact=quoted))
    return tuple(dict.fromkeys(terms))


_USUAL: Final = 600  # characters: a message of this length counts as it is
_STEPS: Final = 8


def score(terms: tuple[Term, ...], said: str, *, title: bool = False) -> int:
    """How well ``said`` (words parted by spaces) answers: a few steps only, so that among the like the newest comes first.

    As BM25 counts: each further mention tells less, and the same in a longer text tells less. Titles come before all else.
    It is gone through for each term: ``MOST_COUNTED`` characters of it are enough.
    """
    text = f" {said} "
    length = 1.2 * (0.25 + 0.75 * len(said) / _USUAL)
    told = 0.0
    for term in terms:
        whole, begun = text.count(f" {term} "), text.count(f" {term}")
        mentions = whole + 0.5 * (begun - whole)
        told += mentions / (mentions + length)
    return int(_STEPS * told / max(1, len(terms))) + _STEPS * 2 * title
