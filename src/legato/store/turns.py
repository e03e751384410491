"""Turns: look one up, change one, put in a new one."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, insert, literal_column, select

from legato.core.model import Turn
from legato.store.rows import to_us
from legato.store.schema import sessions, turns
from legato.store.statements import ROW, update_by_id


def put(conn: Connection, turn: Turn, locale: str | None) -> None:
    """Insert a turn that is new; ``locale`` is its reader's language."""
    values: dict[str, object] = {name: getattr(turn, name) for name in _OF_THE_TURN}
    created: dict[str, object] = {"compacted": False, "created_at": to_us(turn.created_at), "locale": locale}
    conn.execute(_INSERT, values | created)


def locale_of(conn: Connection, turn_id: str | None) -> str | None:
    """Its reader's language; None also where no turn is named."""
    return None if turn_id is None else conn.execute(_LOCALE, {"id": turn_id}).scalar()


def change(conn: Connection, turn_id: str, **values: object) -> None:
    conn.execute(update_by_id(turns, *values), {ROW: turn_id, **values})


def open_turn(conn: Connection, session_id: str) -> Any:
    """The row of the running turn, or None."""
    return conn.execute(_OPEN, {"session_id": session_id}).first()


def waiting(conn: Connection) -> int:
    """How many turns wait, of anybody's."""
    return int(conn.execute(_WAITING).scalar_one())


def unfinished(conn: Connection, session_id: str) -> Sequence[Any]:
    """Rows of the running turn and the waiting ones, in the order they run."""
    return conn.execute(_UNFINISHED, {"session_id": session_id}).all()


_OF_THE_TURN: Final = (
    "id",
    "session_id",
    "message_id",
    "agent_id",
    "model_id",
    "source_turn_id",
    "status",
    "kind",
    "mode",
    "priority",
    "rank",
    "attempt",
)
_INSERT: Final = insert(turns)
_LOCALE: Final = select(turns.c.locale).where(turns.c.id == bindparam("id"))


_OPEN: Final = select(turns).where(turns.c.session_id == bindparam("session_id"), turns.c.status == "in_progress")


_WAITING: Final = select(func.count()).select_from(turns).where(turns.c.status == literal_column("'queued'"))
_UNFINISHED: Final = (
    select(turns)
    .where(turns.c.session_id == bindparam("session_id"), turns.c.status.in_(("in_progress", "queued")))
    .order_by(turns.c.status, turns.c.rank)
)


def live(conn: Connection, worker_id: str) -> set[tuple[str, int]]:
    """The ``(turn, epoch)`` pairs that this worker still owns."""
    found = (
        select(turns.c.id, turns.c.epoch)
        .join(sessions, sessions.c.id == turns.c.session_id)
        .where(turns.c.worker_id == worker_id, turns.c.status == "in_progress", turns.c.epoch == sessions.c.epoch)
    )
    return {(row.id, row.epoch) for row in conn.execute(found)}
