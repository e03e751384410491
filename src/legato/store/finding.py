"""Finding: the newest entries that match are ranked, a page at a time; after them come the others, the newest first.

First words are looked for. Where that finds nothing, the same is looked for within words, in the newest entries of the owner.
Who may see what is found is decided by the session, whatever the index says.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, func, select

from legato.core.errors import Corrupted
from legato.core.found import FoundIn, Hit
from legato.core.model import Role
from legato.core.search import Term, parse, score
from legato.core.snippet import snippet
from legato.store.listing import SessionStatus, has_status
from legato.store.rows import to_message, to_time
from legato.store.schema import messages, sessions
from legato.store.schema import search_entries as entries
from legato.store.search import owner_key, shown
from legato.store.search_place import Place, read_place, write_place
from legato.store.search_terms import entries_with

#: Hits that are ranked: the newest ones.
RANKED: Final = 250
#: Entries of an owner that are looked through for what stands within words: the newest ones.
LOOKED_THROUGH: Final = 10_000
#: Hits that the list of sessions is made from: the newest ones.
LISTED: Final = 10_000


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Which hits count. Times are microseconds; ``after`` is included, ``before`` is not."""

    agent_id: str | None = None
    status: SessionStatus | None = None
    role: Role | None = None
    session_id: str | None = None
    after: int | None = None
    before: int | None = None


class Found(msgspec.Struct, frozen=True):
    """One page of hits, and the way to the next."""

    data: tuple[Hit, ...]
    next: str | None


NOTHING: Final = Found((), None)


def find(
    conn: Connection,
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
    place = None if cursor is None else read_place(cursor)
    terms = parse(text)
    if not terms:
        return NOTHING
    search = _Search(conn, owner, terms, filters or Filters())
    if place is None:
        place = search.begin()
    rows, following = search.page(place, limit)
    hits = _hits(conn, rows, terms, inside=place.inside)
    return Found(tuple(hits), None if following is None else write_place(following))


def sessions_with(conn: Connection, owner: str, text: str) -> Select[Any] | None:
    """The ids of an owner's sessions in whose title or messages ``text`` is found, to be asked within another question.

    None: it has no words, and nothing is found.
    """
    terms = parse(text)
    if not terms:
        return None
    search = _Search(conn, owner, terms, Filters())
    inside = not search.candidates(Place(), 1)
    found = search.query(inside, ()).with_only_columns(entries.c.session_id).limit(LISTED).subquery()
    return select(found.c.session_id)


_NEWEST: Final = select(func.max(entries.c.id)).where(entries.c.owner_key == bindparam("owner_key"))


class _Search:
    """One question of one owner."""

    def __init__(self, conn: Connection, owner: str, terms: tuple[Term, ...], filters: Filters) -> None:
        self._conn = conn
        self._owner = owner
        self._terms = terms
        self._conditions = _conditions(filters)

    def begin(self) -> Place:
        """Where the first page begins; later pages see what was there then."""
        newest = self._conn.execute(_NEWEST, {"owner_key": owner_key(self._owner)}).scalar() or 0
        for inside in (False, True):
            place = Place(inside=inside, newest=newest)
            if rows := self.candidates(place, RANKED):
                return msgspec.structs.replace(place, floor=rows[-1].id if len(rows) == RANKED else 0)
        return Place()

    def page(self, place: Place, limit: int) -> tuple[list[Any], Place | None]:
        """The scored rows after a place, and the place of the last one where there are more."""
        found = [] if place.in_rest else self._ranked(place)
        if len(found) <= limit and place.floor:
            found += self._rest(place, limit + 1 - len(found))
        page = found[:limit]
        return page, place.at(page[-1]) if len(found) > limit else None

    def candidates(self, place: Place, limit: int) -> Sequence[Any]:
        """The newest entries that match, from the place's floor up to its newest."""
        within = [entries.c.id >= place.floor] if place.floor else []
        if place.newest:
            within.append(entries.c.id <= place.newest)
        return self._conn.execute(self.query(place.inside, within).limit(limit)).all()

    def query(self, inside: bool, within: Sequence[ColumnElement[bool]]) -> Select[Any]:
        """The entries that match, the newest first."""
        found = entries_with(
            self._conn, owner_key(self._owner), self._terms, within, LOOKED_THROUGH if inside else None
        )
        owned = and_(sessions.c.owner == self._owner, sessions.c.owner != "")
        return found.where(owned, ~entries.c.gone, *within, *self._conditions)

    def _ranked(self, place: Place) -> list[Any]:
        rows = self.candidates(place, RANKED)
        scored = [_Scored(row, score(self._terms, row.words, title=row.message_id is None)) for row in rows]
        return sorted((one for one in scored if place.is_before(one)), key=lambda one: one.rank)

    def _rest(self, place: Place, limit: int) -> list[Any]:
        below = place.id if place.in_rest else place.floor
        rows = self._conn.execute(self.query(place.inside, [entries.c.id < below]).limit(limit)).all()
        return [_Scored(row, -1) for row in rows]


class _Scored:
    """An entry with its score; -1: it was not ranked."""

    def __init__(self, row: Any, scored: int) -> None:
        self.row = row
        self.id: int = row.id
        self.score = scored
        self.rank = (-scored, -row.created_at, -row.id)


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if filters.agent_id is not None:
        found.append(sessions.c.agent_id == filters.agent_id)
    if filters.status is not None:
        found.append(has_status(filters.status))
    if filters.role is not None:
        found.append(entries.c.role == filters.role)
    if filters.session_id is not None:
        found.append(entries.c.session_id == filters.session_id)
    if filters.after is not None:
        found.append(entries.c.created_at >= filters.after)
    if filters.before is not None:
        found.append(entries.c.created_at < filters.before)
    return found


def _hits(conn: Connection, found: Sequence[_Scored], terms: tuple[Term, ...], *, inside: bool) -> list[Hit]:
    texts = _texts(conn, [one.row.message_id for one in found if one.row.message_id is not None])
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
                )
            )
    return hits


def _texts(conn: Connection, ids: Sequence[str]) -> dict[str, str]:
    """What the messages say, without those that are damaged."""
    said: dict[str, str] = {}
    for row in conn.execute(select(messages).where(messages.c.id.in_(ids))):
        try:
            parts = to_message(row).parts
        except Corrupted:
            continue
        said[row.id] = shown(parts)
    return said
