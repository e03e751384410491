"""What an export reads: an owner's sessions page by page, and each session as it stood at one instant, in short transactions.

An *instant* holds the ids of what was there, and the messages that still grew; the rest can't change any more, and is read
later, some at a time. What is removed meanwhile is missing then.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, bindparam, select, tuple_

from legato.core.model import Message, Session, Turn
from legato.store import legible, messages
from legato.store.damaged import open_fold
from legato.store.locked import readable
from legato.store.rows import to_session
from legato.store.schema import messages as message_table
from legato.store.schema import sessions, turns
from legato.store.turns import unfinished

PAGE: Final = 2_000  # sessions


class Instant(msgspec.Struct, frozen=True, kw_only=True):
    """A session at one instant.

    ``branch`` are the ids of its active branch from the root on, then those that wait for a place at its end, which is
    ``leaf_id``; an edited one that waits has its place elsewhere. ``message_ids`` are all, as they were written;
    ``turn_ids`` in the order in which they ended, then those that have not, as they will run: they are ``unfinished``.
    ``growing`` are the messages that may change, ``parents`` the places of those that had none yet.
    """

    session: Session
    leaf_id: str | None
    branch: tuple[str, ...]
    message_ids: tuple[str, ...]
    turn_ids: tuple[str, ...]
    unfinished: dict[str, Turn]
    growing: dict[str, Message]
    parents: dict[str, str | None]


def page(conn: Connection, owner: str, after: tuple[int, str] = (-1, "")) -> list[tuple[int, str]]:
    """The next of an owner's sessions, the oldest first: when each was created, and its id."""
    place = tuple_(sessions.c.created_at, sessions.c.id)
    found = select(sessions.c.created_at, sessions.c.id).where(sessions.c.owner == owner, place > tuple_(*after))
    rows = conn.execute(found.order_by(sessions.c.created_at, sessions.c.id).limit(PAGE))
    return [(row.created_at, row.id) for row in rows]


def instant(conn: Connection, session_id: str, owner: str) -> Instant:
    """Raises SessionNotFound."""
    row = readable(conn, session_id, owner)
    found = unfinished(conn, session_id)
    open_ones = [legible.turn(each) for each in found]
    growing = _growing(conn, open_ones, [each.start_seq for each in found])
    branch = list(conn.execute(_BRANCH_IDS, {"leaf_id": row.leaf_id}).scalars()) if row.leaf_id else []
    parents: dict[str, str | None] = {}
    for turn in open_ones:
        waiting = growing.get(turn.message_id)
        if waiting is not None and waiting.status == "queued" and turn.kind != "edit":
            parents[waiting.id] = branch[-1] if branch else None
            branch.append(waiting.id)
    ended = conn.execute(_ENDED, {"session_id": session_id}).scalars()
    return Instant(
        session=to_session(row),
        leaf_id=branch[-1] if branch else None,
        branch=tuple(branch),
        message_ids=tuple(conn.execute(_ALL_IDS, {"session_id": session_id}).scalars()),
        turn_ids=(*ended, *(turn.id for turn in open_ones)),
        unfinished={turn.id: turn for turn in open_ones},
        growing=growing,
        parents=parents,
    )


def _growing(conn: Connection, open_ones: Sequence[Turn], starts: Sequence[int | None]) -> dict[str, Message]:
    """The messages of unfinished turns as they stand, those that wait among them."""
    found: dict[str, Message] = {}
    for turn, start_seq in zip(open_ones, starts, strict=True):
        found |= {message.id: message for message in legible.messages_of_turn(conn, turn.id)}
        if turn.status == "in_progress":
            fold = open_fold(conn, turn, start_seq)
            found |= {id_: message for id_ in list(fold.messages) if (message := fold.message(id_)) is not None}
    return found


def read_messages(conn: Connection, ids: Sequence[str]) -> list[Message]:
    """These messages, in this order, without those that are gone; a damaged one stands there empty and says so."""
    found = legible.messages_by_ids(conn, ids)
    return [found[each] for each in ids if each in found]


def read_turns(conn: Connection, ids: Sequence[str]) -> list[Turn]:
    """These turns, in this order, without those that are gone."""
    found = legible.turns_by_ids(conn, ids)
    return [found[each] for each in ids if each in found]


_BRANCH_IDS: Final = messages.ids_along()
_ALL_IDS: Final = (
    select(message_table.c.id)
    .where(message_table.c.session_id == bindparam("session_id"), messages.NOT_CLEARED)
    .order_by(message_table.c.created_at, message_table.c.role.desc(), message_table.c.id)
)
_ENDED: Final = (
    select(turns.c.id)
    .where(turns.c.session_id == bindparam("session_id"), turns.c.done_seq.is_not(None))
    .order_by(turns.c.done_seq)
)
