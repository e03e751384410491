"""What is shown of a hit: a piece of its text around the first mention, escaped, with ``<mark>`` around each."""

import re
from collections.abc import Sequence
from html import escape
from typing import Final

from legato.core.search import MOST_CHARS, Term
from legato.core.words import Word, composed, folded, places

#: Characters of a text in which mentions are looked for.
MOST_LOOKED_AT: Final = 50_000

_WINDOW: Final = 4_000  # characters that are folded and gone through together
_OVERLAP: Final = MOST_CHARS  # of what is asked for, as long as it may be: it may lie across two windows
_BEFORE: Final = 60  # characters
_AFTER: Final = 180
_SPACE: Final = re.compile(r"\s+")
_MARK: Final = re.compile(r"<mark>(.*?)</mark>", re.DOTALL)

Span = tuple[int, int]


def snippet(text: str, terms: tuple[Term, ...], *, inside: bool = False) -> str:
    """HTML of at most 240 characters of ``text``; ``inside``: the terms are looked for within words, too.

    Around the first mention; where none is found in time, it is the beginning.
    """
    goes_on = len(text) > MOST_LOOKED_AT
    text = composed(text[:MOST_LOOKED_AT])
    spans = _mentions(text, terms, inside=inside)
    begin = max(0, spans[0][0] - _BEFORE) if spans else 0
    end = min(len(text), (spans[0][0] if spans else 0) + _AFTER)
    begin, end = _at_space(text, begin, end, spans)
    pieces, at = ["…" if begin > 0 else ""], begin
    for start, stop in spans:
        pieces += [_shown(text[at:start]), f"<mark>{_shown(text[start:stop])}</mark>"]
        at = stop
    return "".join([*pieces, _shown(text[at:end]), "…" if end < len(text) or goes_on else ""])


def _shown(text: str) -> str:
    return escape(_SPACE.sub(" ", text), quote=True)


def _at_space(text: str, begin: int, end: int, spans: list[Span]) -> Span:
    """The piece without a broken word at its ends, where a space is near."""
    if begin > 0 and (space := text.find(" ", begin, spans[0][0])) >= 0:
        begin = space + 1
    last = spans[-1][1] if spans else begin
    end = max(end, last)
    if end < len(text) and (space := text.rfind(" ", max(last, end - 30), end)) > 0:
        end = space
    return begin, end


def _mentions(text: str, terms: tuple[Term, ...], *, inside: bool) -> list[Span]:
    """The mentions in order and apart from each other: the first one, and those that stand near it."""
    for start in range(0, len(text), _WINDOW):
        begin = _at_word(text, max(0, start - _OVERLAP))
        window = text[begin : start + _WINDOW + _AFTER]
        said = folded(window)
        # Told at a glance: few windows need to be gone through word by word.
        likely = [term for term in terms if term.words[-1] in said]
        found = _mentions_in(window, likely, inside=inside) if likely else []
        if found and begin + found[0][0] < start + _WINDOW:
            return [(begin + first, begin + last) for first, last in found]
    return []


def _at_word(text: str, place: int) -> int:
    """The same place, or before the word that it is in."""
    return text.rfind(" ", max(0, place - 64), place) + 1 or place


def _mentions_in(text: str, terms: Sequence[Term], *, inside: bool) -> list[Span]:
    found: list[Span] = []
    recent: list[Word] = []
    longest = max(len(term.words) for term in terms)
    for word in places(text):
        if found and word.start > found[0][0] + _AFTER:
            break
        recent = [*recent[-longest + 1 :], word] if longest > 1 else [word]
        ending = [term for term in terms if term.words[-1] in word.text]
        here = [_span(recent, term, inside=inside) for term in ending]
        for span in sorted(span for span in here if span is not None):
            _add(found, span)
    return found


def _add(found: list[Span], span: Span) -> None:
    """What overlaps becomes one."""
    while found and span[0] < found[-1][1]:
        last = found.pop()
        span = min(last[0], span[0]), max(last[1], span[1])
    found.append(span)


def _span(recent: list[Word], term: Term, *, inside: bool) -> Span | None:
    """Where ``term`` stands, if it ends with the last of these words."""
    count = len(term.words)
    if len(recent) < count:
        return None
    here = recent[-count:]
    (*before, last), (*spoken, ending) = term.words, here
    inside = inside and not term.exact
    if inside and not before:
        at = ending.text.find(last)
        exact = len(ending.text) == ending.end - ending.start
        if at < 0:
            return None
        return (ending.start + at, ending.start + at + len(last)) if exact else (ending.start, ending.end)
    if inside and (not spoken[0].text.endswith(before[0]) or [word.text for word in spoken[1:]] != before[1:]):
        return None
    if not inside and [word.text for word in spoken] != before:
        return None
    if ending.text == last or ((term.open or inside) and ending.text.startswith(last)):
        return here[0].start, ending.end
    return None
