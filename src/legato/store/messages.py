"""Messages: a tree by parent; the active branch is the walk from the session's leaf."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, literal, select, update

from legato.core.model import Message
from legato.store.rows import from_message, to_message
from legato.store.schema import messages


def put(conn: Connection, message: Message) -> None:
    """Insert a message that is new."""
    conn.execute(insert(messages).values(**from_message(message)))


def replace(conn: Connection, message: Message) -> None:
    """Overwrite a message by its id."""
    conn.execute(update(messages).where(messages.c.id == message.id).values(**from_message(message)))


def get(conn: Connection, message_id: str) -> Message | None:
    row = conn.execute(select(messages).where(messages.c.id == message_id)).first()
    return None if row is None else to_message(row)


def by_ids(conn: Connection, ids: Sequence[str]) -> dict[str, Message]:
    found = conn.execute(select(messages).where(messages.c.id.in_(ids)))
    return {row.id: to_message(row) for row in found}


def of_turn(conn: Connection, turn_id: str) -> list[Message]:
    """The placed messages of a turn, in no particular order."""
    found = conn.execute(select(messages).where(messages.c.turn_id == turn_id))
    return [to_message(row) for row in found]


def remove(conn: Connection, ids: Sequence[str]) -> None:
    conn.execute(delete(messages).where(messages.c.id.in_(ids)))


def remove_all(conn: Connection, session_id: str) -> None:
    conn.execute(delete(messages).where(messages.c.session_id == session_id))


def branch(conn: Connection, leaf_id: str | None, limit: int) -> list[Message]:
    """The ``limit`` newest messages of the branch that ends with ``leaf_id``, oldest first; 0 for all.

    Costs one key look-up a message, however long the session is.
    """
    if leaf_id is None:
        return []
    walk = (
        select(messages.c.id, messages.c.parent_id, literal(0).label("depth"))
        .where(messages.c.id == leaf_id)
        .cte("walk", recursive=True)
    )
    step = select(messages.c.id, messages.c.parent_id, (walk.c.depth + 1).label("depth")).where(
        messages.c.id == walk.c.parent_id
    )
    walk = walk.union_all(step.where(walk.c.depth < limit - 1) if limit else step)
    found: Any = select(messages).join(walk, walk.c.id == messages.c.id).order_by(walk.c.depth.desc())
    return [to_message(row) for row in conn.execute(found)]
