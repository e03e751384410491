"""Finding: the newest entries that match, which are ranked, and after them the others, the newest first.

First words are looked for. Where that finds nothing, the same is looked for within words, in the newest entries of the owner.
Who may see what is found is decided by the session, whatever the index says.

Here only the database works. What is made of the rows (``hits``) takes time that neither an event loop nor a connection has.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, func, select

from legato.core.model import Role
from legato.core.search import Term, parse
from legato.store.listing import SessionStatus, has_status
from legato.store.messages import NOT_CLEARED
from legato.store.schema import messages, sessions
from legato.store.schema import search_entries as entries
from legato.store.search import owner_key
from legato.store.search_place import Place
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


class Question(msgspec.Struct, frozen=True):
    """What an owner looks for; ``terms`` are not empty."""

    owner: str
    terms: tuple[Term, ...]
    filters: Filters = Filters()


def begin(conn: Connection, question: Question) -> tuple[Place, Sequence[Any]]:
    """Where the first page begins, and the entries to rank; later pages see what was there then."""
    newest = conn.execute(_NEWEST, {"owner_key": owner_key(question.owner)}).scalar() or 0
    for inside in (False, True):
        place = Place(inside=inside, newest=newest)
        if rows := candidates(conn, question, place):
            floor = rows[-1].id if len(rows) == RANKED else 0
            return msgspec.structs.replace(place, floor=floor), rows
    return Place(), ()


def candidates(conn: Connection, question: Question, place: Place) -> Sequence[Any]:
    """The entries to rank: the newest that match, from the place's floor up to its newest."""
    within = [entries.c.id >= place.floor] if place.floor else []
    if place.newest:
        within.append(entries.c.id <= place.newest)
    return conn.execute(_matching(conn, question, place.inside, within).limit(RANKED)).all()


def older(conn: Connection, question: Question, place: Place, limit: int) -> Sequence[Any]:
    """Entries that match and are not ranked, after the place."""
    below = place.id if place.in_rest else place.floor
    return conn.execute(_matching(conn, question, place.inside, [entries.c.id < below]).limit(limit)).all()


def told(conn: Connection, message_ids: Sequence[str]) -> Sequence[Any]:
    """The rows of these messages, as far as they are still there."""
    found = select(messages).where(messages.c.id.in_(message_ids), NOT_CLEARED)
    return conn.execute(found).all() if message_ids else ()


def sessions_with(conn: Connection, owner: str, text: str) -> Select[Any] | None:
    """The ids of an owner's sessions in whose title or messages ``text`` is found, to be asked within another question.

    None: it has no words, and nothing is found.
    """
    terms = parse(text)
    if not terms:
        return None
    question = Question(owner, terms)
    inside = conn.execute(_matching(conn, question, False, ()).limit(1)).first() is None
    found = _matching(conn, question, inside, ()).with_only_columns(entries.c.session_id).limit(LISTED).subquery()
    return select(found.c.session_id)


_NEWEST: Final = select(func.max(entries.c.id)).where(entries.c.owner_key == bindparam("owner_key"))


def _matching(conn: Connection, question: Question, inside: bool, within: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """The entries that match, the newest first."""
    owner = question.owner
    found = entries_with(conn, owner_key(owner), question.terms, within, LOOKED_THROUGH if inside else None)
    owned = and_(sessions.c.owner == owner, sessions.c.owner != "")
    return found.where(owned, ~entries.c.gone, *within, *_conditions(question.filters))


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
