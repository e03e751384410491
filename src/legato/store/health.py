"""Looking over a database: what the doctor begins with."""

import msgspec
from sqlalchemy import Connection, func, select, text

from legato.store import workers
from legato.store.dialect import is_postgresql
from legato.store.schema import NOBODY, sessions
from legato.store.upgrade import revisions


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """``sessions`` are the ids of all, the oldest first; ``orphans`` is how many running turns have no owner."""

    engine: str
    revision: str | None
    sessions: tuple[str, ...]
    orphans: int


def examine(conn: Connection) -> Health:
    """The state of a database that nobody writes to just now."""
    whole = sessions.c.owner != NOBODY  # what is being erased need not hold together
    found = select(sessions.c.id).where(whole).order_by(sessions.c.created_at, sessions.c.id)
    return Health(
        engine=_engine(conn),
        revision=revisions(conn)[0],
        sessions=tuple(conn.execute(found).scalars()),
        orphans=len(workers.orphans(conn)),
    )


def _engine(conn: Connection) -> str:
    if is_postgresql(conn):
        return f"PostgreSQL {conn.execute(text('SHOW server_version')).scalar()}"
    return f"SQLite {conn.execute(select(func.sqlite_version())).scalar()}"
