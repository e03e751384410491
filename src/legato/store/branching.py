"""Branches: what stands beside a message, reading another branch, and switching to it (promise S-15).

A *branch* is the walk from a message to its root. One message may stand on many; each is read up to the newest of the last
messages that follow it. Two messages are *siblings* when they follow the same one, or none: an edited message and what it was
before, a first answer and a second one. What waits in the queue has no siblings yet.

Switching is planned in a read, however much of the tree that takes: with the words that readers of the active branch need not
hold, as the journal will tell them. The write enters them and moves the leaf, all at once, lest somebody who begins to read in
between miss half of them; it does nothing where the session has gone on since.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, bindparam, or_, select, text

from legato.core.errors import MessageNotFound, SessionClosed, SessionQuarantined, TurnInProgress
from legato.core.events import MessageEvent, encode_lines
from legato.core.model import Message
from legato.store import messages, snapshots
from legato.store.locked import lock, readable
from legato.store.port import Row
from legato.store.schema import messages as table
from legato.store.schema import sessions
from legato.store.turns import unfinished

#: Reads a page of the branch that ends with a message: as ``snapshots.history``.
Read = Callable[[Connection, str, str, int, str | None], tuple[list[Message], str | None]]

_PIECE_BYTES: Final = 256 * 1024


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Messages of the branch that ends with ``leaf_id``, oldest first.

    ``branches``: for each of them that has siblings, the ids of all of these, itself among them, in the order in which they
    were created. ``older`` is the cursor to the page before.
    """

    messages: tuple[Message, ...]
    older: str | None
    leaf_id: str | None
    branches: dict[str, tuple[str, ...]]


class Piece(msgspec.Struct, frozen=True):
    """A row of the journal to be: ``count`` events."""

    count: int
    payload: bytes


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How to get to a leaf from where the session is at ``head``; nothing is to be told where it is there already."""

    head: int
    leaf_id: str
    told: tuple[Piece, ...]


class Switched(msgspec.Struct, frozen=True):
    """What was appended."""

    rows: tuple[Row, ...] = ()


def history(
    conn: Connection,
    session_id: str,
    owner: str,
    limit: int,
    cursor: str | None = None,
    through: str | None = None,
    read: Read = snapshots.history,
) -> Page:
    """A page of the active branch, or of the one that goes ``through`` a message, as ``read`` reads it.

    Raises:
        SessionNotFound, MessageNotFound; BadCursor: the cursor names no message of this session.
    """
    session = readable(conn, session_id, owner)
    leaf_id = session.leaf_id if through is None else newest_below(conn, session_id, through)
    page, older = read(conn, session_id, owner, limit, leaf_id if cursor is None else cursor)
    return Page(messages=tuple(page), older=older, leaf_id=leaf_id, branches=siblings(conn, session_id, page))


def siblings(conn: Connection, session_id: str, page: Iterable[Message]) -> dict[str, tuple[str, ...]]:
    """The siblings of each message that has any, itself among them, in the order in which they were created."""
    placed = [message for message in page if message.status != "queued"]
    parents = {message.parent_id for message in placed}
    hangs: ColumnElement[bool] = table.c.parent_id.in_([each for each in parents if each is not None])
    if None in parents:
        hangs = or_(hangs, table.c.parent_id.is_(None))
    of_session = table.c.session_id == session_id, table.c.status != "queued", messages.NOT_CLEARED
    found = select(table.c.id, table.c.parent_id).where(*of_session, hangs)
    beside: dict[str | None, list[str]] = {}
    for row in conn.execute(found.order_by(table.c.created_at, table.c.id)):
        beside.setdefault(row.parent_id, []).append(row.id)
    together = {message.id: beside.get(message.parent_id, []) for message in placed}
    return {message_id: tuple(ids) for message_id, ids in together.items() if len(ids) > 1}


def newest_below(conn: Connection, session_id: str, message_id: str) -> str:
    """The end of the branch that goes through a message.

    Raises:
        MessageNotFound: there is none in this session, or it waits and has no place yet.
    """
    place = messages.place(conn, session_id, message_id)
    if place is None or place.status == "queued":
        raise MessageNotFound(message_id=message_id)
    return str(conn.execute(_NEWEST_BELOW, {"session_id": session_id, "message_id": message_id}).scalar_one())


def aside(conn: Connection, message_ids: Sequence[str]) -> set[str]:
    """Which of these messages stand on no active branch, whosever they are; one that waits may yet."""
    return set(conn.execute(_ASIDE, {"ids": message_ids}).scalars()) if message_ids else set()


def plan(conn: Connection, session_id: str, owner: str, message_id: str) -> Plan:
    """How to make the branch through a message the active one.

    Raises:
        SessionNotFound, MessageNotFound, SessionQuarantined, Corrupted.
    """
    session = readable(conn, session_id, owner)
    if session.quarantined_at is not None:
        raise SessionQuarantined
    leaf_id = newest_below(conn, session_id, message_id)
    if leaf_id == session.leaf_id:
        return Plan(head=session.head, leaf_id=leaf_id, told=())
    told = tuple(_pieces(conn, messages.beside(conn, leaf_id, session.leaf_id)))
    return Plan(head=session.head, leaf_id=leaf_id, told=told)


def switch(conn: Connection, session_id: str, owner: str, plan: Plan) -> Switched | None:
    """Make the planned branch the active one; None where the session has gone on since the plan was made.

    Raises:
        SessionNotFound, SessionClosed, SessionQuarantined; TurnInProgress: something runs, or waits for a place in the history.
    """
    session = lock(conn, session_id, owner)
    if session.quarantined:
        raise SessionQuarantined
    if session.closed:
        raise SessionClosed
    if busy := unfinished(conn, session_id):
        raise TurnInProgress(turn_id=busy[0].id)
    if session.head != plan.head:
        return None
    if plan.told:
        session.move_leaf(plan.leaf_id)
    for piece in plan.told:
        session.enter(piece.count, piece.payload)
    return Switched(session.save())


def _pieces(conn: Connection, ids: Sequence[str]) -> Iterator[Piece]:
    """The messages of a branch up to its leaf, told."""
    told: list[bytes] = []
    size = 0
    for message in messages.each(conn, ids):
        told.append(encode_lines([MessageEvent("changed", message.id, message, leaf=message.id == ids[-1])]))
        size += len(told[-1])
        if size >= _PIECE_BYTES:
            yield Piece(len(told), b"\n".join(told))
            told, size = [], 0
    if told:
        yield Piece(len(told), b"\n".join(told))


def _aside() -> Any:
    """Of the messages ``:ids`` those that no walk from their session's leaf meets."""
    asked = table.alias()
    theirs = select(asked.c.session_id).where(asked.c.id.in_(bindparam("ids", expanding=True)))
    walk = (
        select(table.c.id, table.c.parent_id)
        .join(sessions, sessions.c.leaf_id == table.c.id)
        .where(sessions.c.id.in_(theirs))
        .cte("walk", recursive=True)
    )
    walk = walk.union_all(select(table.c.id, table.c.parent_id).where(table.c.id == walk.c.parent_id))
    found = select(table.c.id).where(table.c.id.in_(bindparam("ids", expanding=True)), table.c.status != "queued")
    return found.where(table.c.id.not_in(select(walk.c.id)))


# From a message to all that follow it; of those that nothing follows, the newest. A cross join, for SQLite takes that for the
# order to look in: else it reads the whole session for each message.
_NEWEST_BELOW: Final = text("""
    WITH RECURSIVE below (id, created_at, depth) AS (
        SELECT m.id, m.created_at, 0 FROM messages AS m WHERE m.id = :message_id
        UNION ALL
        SELECT m.id, m.created_at, below.depth + 1 FROM below CROSS JOIN messages AS m
        WHERE m.session_id = :session_id AND m.parent_id = below.id AND m.status <> 'queued'
    )
    SELECT id FROM below
    WHERE NOT EXISTS (
        SELECT 1 FROM messages AS m WHERE m.session_id = :session_id AND m.parent_id = below.id AND m.status <> 'queued'
    )
    ORDER BY created_at DESC, depth DESC, id DESC LIMIT 1
""")
_ASIDE: Final = _aside()
