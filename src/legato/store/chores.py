"""Chores: side work that a session waits for, and nobody's turn (guarantee G19).

A chore is asked for in the transaction that makes it necessary, so none is lost; it is there once for a session and a kind,
however often it is asked for. Who takes one puts the worker's name on it; what a dead worker had taken is free again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Connection, bindparam, case, delete, or_, select, text, update

from legato.store.dialect import utc_us
from legato.store.schema import chores, workers

Kind = Literal["erase", "clear", "close", "trim", "title", "memory", "summary"]

#: Due at once, whatever the clock says.
NOW: Final = 0


class Chore(msgspec.Struct, frozen=True):
    """A chore that was taken: ``version`` tells whether it was asked for again since.

    ``tries`` is how often it was taken, this time included, but for what was no try: to find that it has to wait.
    """

    session_id: str
    kind: Kind
    version: int
    tries: int


def ask(conn: Connection, session_id: str, kind: Kind, due_at: int = NOW) -> None:
    """Have it done (again), not before ``due_at`` (microseconds by the store's clock)."""
    conn.execute(_ASK, {"session_id": session_id, "kind": kind, "due_at": due_at})


def ask_all(conn: Connection, session_id: str, delays_us: Mapping[Kind, int], now_us: int) -> None:
    """Have each kind done after its delay from ``now_us``; without a delay at once."""
    for kind, delay_us in delays_us.items():
        ask(conn, session_id, kind, now_us + delay_us if delay_us else NOW)


def is_asked(conn: Connection, session_id: str, kind: Kind) -> bool:
    """Whether it is still to be done. Where it is taken back under the session's lock, ask under it."""
    return conn.execute(_ASKED, {"id": session_id, "of_kind": kind}).first() is not None


def take_back(conn: Connection, session_id: str, kind: Kind) -> None:
    """It is not wanted any more, also not by whoever is at it just now."""
    conn.execute(delete(chores).where(chores.c.session_id == session_id, chores.c.kind == kind))


def due(conn: Connection, kind: Kind, worker_id: str, limit: int) -> list[str]:
    """Sessions that wait for this, the longest waiting first; those that this worker has taken are among them."""
    return list(conn.execute(_DUE, {"kind": kind, "worker": worker_id, "limit": limit}).scalars())


def take(conn: Connection, session_id: str, kind: Kind, worker_id: str) -> Chore | None:
    """Make it this worker's; None when it is not due (any more), or somebody else alive has it."""
    row = conn.execute(_TAKE, {"id": session_id, "of_kind": kind, "worker": worker_id}).first()
    return None if row is None else Chore(session_id, kind, row.version, row.tries)


def finish(conn: Connection, chore: Chore, worker_id: str) -> None:
    """It is done; what was asked for meanwhile stays to be done again."""
    mine = (*_of(chore), chores.c.worker_id == worker_id)
    conn.execute(delete(chores).where(*mine, chores.c.version == chore.version))
    conn.execute(update(chores).where(*mine).values(worker_id=None, tries=0))


def put_off(conn: Connection, chore: Chore, worker_id: str, delay_s: float, *, counted: bool) -> None:
    """Give it back, to be taken again after ``delay_s``; at once where it was asked for anew meanwhile.

    ``counted``: this was a try.
    """
    mine = (*_of(chore), chores.c.worker_id == worker_id)
    later = {"due_at": utc_us() + int(delay_s * 1_000_000), "tries": chore.tries if counted else chore.tries - 1}
    conn.execute(update(chores).where(*mine, chores.c.version == chore.version).values(later))
    conn.execute(update(chores).where(*mine).values(worker_id=None))


def _of(chore: Chore) -> Sequence[Any]:
    return chores.c.session_id == chore.session_id, chores.c.kind == chore.kind


# What this worker has taken and does not do was given back to a store that was away.
_FREE: Final = or_(
    chores.c.worker_id.is_(None),
    chores.c.worker_id == bindparam("worker"),
    chores.c.worker_id.not_in(select(workers.c.id)),
)
_ASKED: Final = select(chores.c.version).where(
    chores.c.session_id == bindparam("id"), chores.c.kind == bindparam("of_kind")
)
_ASK: Final = text(
    "INSERT INTO chores (session_id, kind, due_at, version, tries) VALUES (:session_id, :kind, :due_at, 1, 0)"
    " ON CONFLICT (session_id, kind) DO UPDATE SET due_at = excluded.due_at, version = chores.version + 1, tries = 0"
)
_DUE: Final = (
    select(chores.c.session_id)
    .where(chores.c.kind == bindparam("kind"), chores.c.due_at <= utc_us(), _FREE)
    .order_by(chores.c.due_at)
    .limit(bindparam("limit"))
)
_TAKE: Final = (
    update(chores)
    .where(
        chores.c.session_id == bindparam("id"),
        chores.c.kind == bindparam("of_kind"),
        chores.c.due_at <= utc_us(),
        _FREE,
    )
    .values(
        worker_id=bindparam("worker"),
        # That this worker could not give it back was the store's fault.
        tries=chores.c.tries + case((chores.c.worker_id == bindparam("worker"), 0), else_=1),
    )
    .returning(chores.c.version, chores.c.tries)
)
