"""Messages: a tree by parent; the active branch is the walk from the session's leaf."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import CTE, Connection, Integer, Select, bindparam, delete, insert, literal, select

from legato.core.model import ErrorInfo, Message
from legato.store import attaching, search
from legato.store.rows import from_message, parts_crc, to_message
from legato.store.schema import messages
from legato.store.statements import ROW, update_by_id

_INSERT: Final = insert(messages)
_BY_ID: Final = select(messages).where(messages.c.id == bindparam("id"))
_BY_IDS: Final = select(messages).where(messages.c.id.in_(bindparam("ids", expanding=True)))
_OF_TURN: Final = select(messages).where(messages.c.turn_id == bindparam("turn_id"))


def put(conn: Connection, message: Message) -> None:
    """Insert a message that is new."""
    conn.execute(_INSERT, from_message(message))
    search.note(conn, message)


def replace(conn: Connection, message: Message) -> None:
    """Overwrite a message by its id."""
    _change(conn, message.id, from_message(message))
    search.note_changed(conn, message)


def get(conn: Connection, message_id: str) -> Message | None:
    row = conn.execute(_BY_ID, {"id": message_id}).first()
    return None if row is None else to_message(row)


def by_ids(conn: Connection, ids: Sequence[str]) -> dict[str, Message]:
    found = conn.execute(_BY_IDS, {"ids": ids})
    return {row.id: to_message(row) for row in found}


def of_turn(conn: Connection, turn_id: str) -> list[Message]:
    """The messages of a turn, in no particular order."""
    return [to_message(row) for row in conn.execute(_OF_TURN, {"turn_id": turn_id})]


def places(conn: Connection, turn_id: str) -> dict[str, str | None]:
    """The parents of a turn's messages, by their ids; their content is not looked at."""
    found = conn.execute(select(messages.c.id, messages.c.parent_id).where(messages.c.turn_id == turn_id))
    return {row.id: row.parent_id for row in found}


def close_unread(conn: Connection, message_id: str, status: str, error: ErrorInfo | None) -> None:
    """End an answer whose words are lost: it stands there empty, with the error that says so."""
    values = {"status": status, "parts": "[]", "crc": parts_crc(message_id, "[]")}
    errors = {"error_code": error.code, "error_message": error.message} if error else {}
    _change(conn, message_id, values | errors)
    search.gone(conn, [message_id])


def parent_of(conn: Connection, message_id: str) -> str | None:
    """None where there is no such message, too."""
    return conn.execute(select(messages.c.parent_id).where(messages.c.id == message_id)).scalar()


def make_root(conn: Connection, message_id: str) -> None:
    """Nothing is before it any more."""
    _change(conn, message_id, {"parent_id": None})


def remove(conn: Connection, ids: Sequence[str]) -> None:
    conn.execute(delete(messages).where(messages.c.id.in_(ids)))
    search.gone(conn, ids)
    attaching.let_go(conn, ids)


def remove_all(conn: Connection, session_id: str) -> None:
    conn.execute(delete(messages).where(messages.c.session_id == session_id))
    search.all_gone(conn, session_id)
    attaching.let_all_go(conn, session_id)


def branch(conn: Connection, leaf_id: str | None, limit: int) -> list[Message]:
    """The ``limit`` newest messages of the branch that ends with ``leaf_id``, oldest first; 0 for all.

    Costs one key look-up a message, however long the session is.
    """
    if leaf_id is None:
        return []
    found = _BRANCH if limit else _WHOLE_BRANCH
    return [to_message(row) for row in conn.execute(found, {"leaf_id": leaf_id, "limit": limit})]


def branch_ids(conn: Connection, leaf_id: str | None) -> set[str]:
    """The ids of all messages of a branch."""
    return set() if leaf_id is None else set(conn.execute(_BRANCH_IDS, {"leaf_id": leaf_id}).scalars())


def _change(conn: Connection, message_id: str, values: dict[str, object]) -> None:
    conn.execute(update_by_id(messages, *values), {ROW: message_id, **values})


def ids_along() -> Select[Any]:
    """The ids of the branch that ends with ``:leaf_id``, oldest first."""
    walk = _walk(limited=False)
    return select(walk.c.id).order_by(walk.c.depth.desc())


def _walk(*, limited: bool) -> CTE:
    """From the leaf ``:leaf_id`` towards the root: ``id``, ``parent_id`` and ``depth``, at most ``:limit`` of them or all."""
    walk = (
        select(messages.c.id, messages.c.parent_id, literal(0).label("depth"))
        .where(messages.c.id == bindparam("leaf_id"))
        .cte("walk", recursive=True)
    )
    step = select(messages.c.id, messages.c.parent_id, (walk.c.depth + 1).label("depth")).where(
        messages.c.id == walk.c.parent_id
    )
    return walk.union_all(step.where(walk.c.depth < bindparam("limit", type_=Integer) - 1) if limited else step)


def _along(walk: CTE) -> Select[Any]:
    """The messages of a walk, oldest first."""
    return select(messages).join(walk, walk.c.id == messages.c.id).order_by(walk.c.depth.desc())


_BRANCH: Final = _along(_walk(limited=True))
_WHOLE_BRANCH: Final = _along(_walk(limited=False))
_BRANCH_IDS: Final = select(_walk(limited=False).c.id)
