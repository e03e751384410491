"""Looking over a whole database: what the doctor reports. Reads everything, a session at a time."""

import msgspec
from sqlalchemy import Connection, func, select, text

from legato.core.errors import Corrupted
from legato.store import journal, messages, workers
from legato.store.dialect import is_postgresql
from legato.store.schema import NOBODY, sessions
from legato.store.schema import messages as message_table
from legato.store.upgrade import revisions


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """``damaged`` are sessions whose checksums, seqs or heads don't hold."""

    engine: str
    revision: str | None
    sessions: int
    damaged: tuple[str, ...]
    orphans: int


def examine(conn: Connection) -> Health:
    """The state of a database that nobody writes to just now."""
    whole = sessions.c.owner != NOBODY  # what is being erased need not hold together
    ids = list(conn.execute(select(sessions.c.id).where(whole)).scalars())
    return Health(
        engine=_engine(conn),
        revision=revisions(conn)[0],
        sessions=len(ids),
        damaged=tuple(session_id for session_id in ids if not _sound(conn, session_id)),
        orphans=len(workers.orphans(conn)),
    )


def _engine(conn: Connection) -> str:
    if is_postgresql(conn):
        return f"PostgreSQL {conn.execute(text('SHOW server_version')).scalar()}"
    return f"SQLite {conn.execute(select(func.sqlite_version())).scalar()}"


def _sound(conn: Connection, session_id: str) -> bool:
    try:
        reached = 0
        while rows := journal.read_rows(conn, session_id, reached):
            reached = rows[-1].last_seq
        ids = list(conn.execute(select(message_table.c.id).where(message_table.c.session_id == session_id)).scalars())
        for start in range(0, len(ids), 500):
            messages.by_ids(conn, ids[start : start + 500])
    except Corrupted:
        return False
    return reached == journal.heads(conn, [session_id])[session_id]
