"""Hits, from the rows that were found. Nothing here asks the database, and all of it is for a thread: it may take its time."""

from collections.abc import Container, Iterable, Sequence
from typing import Any

from legato.core.errors import Corrupted
from legato.core.found import FoundIn, Hit
from legato.core.search import Term, score
from legato.core.snippet import snippet
from legato.store.rows import to_message, to_time
from legato.store.search import findable
from legato.store.search_place import Place


class Scored:
    """An entry with its score; -1: it was not ranked."""

    def __init__(self, row: Any, scored: int = -1) -> None:
        self.row = row
        self.id: int = row.id
        self.score = scored
        self.rank = (-scored, -row.created_at, -row.id)


def ranked(rows: Sequence[Any], terms: tuple[Term, ...], place: Place) -> list[Scored]:
    """The entries that come after the place, the best first."""
    scored = [Scored(row, score(terms, row.words, title=row.message_id is None)) for row in rows]
    return sorted((one for one in scored if place.is_before(one)), key=lambda one: one.rank)


def shown(
    found: Sequence[Scored],
    told: Iterable[Any],
    terms: tuple[Term, ...],
    aside: Container[str | None] = (),
    *,
    inside: bool,
) -> tuple[Hit, ...]:
    """The hits; ``told`` are the rows of their messages, ``aside`` those that stand on no active branch."""
    texts = _texts(told)
    hits: list[Hit] = []
    for one in found:
        row = one.row
        text = row.title if row.message_id is None else texts.get(row.message_id)
        if text is not None:  # a damaged message is not shown, and hides no other
            hits.append(
                Hit(
                    session=FoundIn(row.session_id, row.title, row.agent_id, row.agent_name),
                    message_id=row.message_id,
                    role=row.role,
                    created_at=to_time(row.created_at),
                    score=max(0, one.score),
                    snippet=snippet(text, terms, inside=inside),
                    active=row.message_id not in aside,
                )
            )
    return tuple(hits)


def _texts(told: Iterable[Any]) -> dict[str, str]:
    """What the messages say, without those that are damaged."""
    said: dict[str, str] = {}
    for row in told:
        try:
            parts = to_message(row).parts
        except Corrupted:
            continue
        said[row.id] = findable(parts)
    return said
