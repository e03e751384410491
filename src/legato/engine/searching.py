"""Searching: the store finds, a thread ranks and cuts out what is shown, so that neither the loop nor a reader waits for it."""

import asyncio

import msgspec

from legato.core.found import Hit
from legato.core.search import parse
from legato.store import branching, finding, hits
from legato.store.finding import Filters, Question
from legato.store.port import Store
from legato.store.search_place import Place, read_place, write_place


class Found(msgspec.Struct, frozen=True):
    """One page of hits, and the way to the next."""

    data: tuple[Hit, ...] = ()
    next: str | None = None


async def find(
    store: Store,
    owner: str,
    text: str,
    filters: Filters | None = None,
    *,
    limit: int = 20,
    cursor: str | None = None,
) -> Found:
    """What of an owner's matches ``text``, by rank, then the newest first. Pages of one search repeat and lose nothing.

    Raises:
        BadCursor: the cursor is not from here.
    """
    place = Place() if cursor is None else read_place(cursor)
    terms = parse(text)
    if not terms:
        return Found()
    question = Question(owner, terms, filters or Filters())
    if cursor is None:
        place, rows = await store.read(finding.begin, question)
    else:
        rows = () if place.in_rest else await store.read(finding.candidates, question, place)
    found = await asyncio.to_thread(hits.ranked, rows, terms, place)
    if len(found) <= limit and place.floor:
        rest = await store.read(finding.older, question, place, limit + 1 - len(found))
        found += map(hits.Scored, rest)
    page = found[:limit]
    ids = [one.row.message_id for one in page if one.row.message_id is not None]
    told = await store.read(finding.told, ids)
    aside = await store.read(branching.aside, ids)
    data = await asyncio.to_thread(hits.shown, page, told, terms, aside, inside=place.inside)
    return Found(data, write_place(place.at(page[-1])) if len(found) > limit else None)
