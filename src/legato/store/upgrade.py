"""Bring a database to this version's schema, and read what names it."""

import secrets
from typing import Final

from sqlalchemy import Connection, column, inspect, select, table, text, update

from legato.store.dialect import is_postgresql
from legato.store.schema import meta

_LOCK_KEY: Final = 0x1E6A70  # any number that only Legato takes as an advisory lock


#: The newest revision below ``migrations``.
NEWEST: Final = "0001"


def revisions(conn: Connection) -> tuple[str | None, str]:
    """The schema's revision in the database and in this version of Legato."""
    if not inspect(conn).has_table(_VERSIONS.name):
        return None, NEWEST
    current: str | None = conn.execute(select(_VERSIONS.c.version_num)).scalar()
    return current, NEWEST


_VERSIONS: Final = table("alembic_version", column("version_num"))


def upgrade(conn: Connection) -> None:
    """Run the migrations that are missing; several processes may try at once.

    Raises:
        SchemaMismatch: the database is newer than this version.
    """
    if is_postgresql(conn):
        conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
    current, newest = revisions(conn)
    if current != newest:
        from legato.store.migrating import migrate

        migrate(conn, current)


def incarnation(conn: Connection) -> str:
    """What names this life of the database; made once, however many processes start, and anew when a backup is restored."""
    made = text("INSERT INTO meta (key, value) VALUES ('incarnation', :value) ON CONFLICT DO NOTHING")
    conn.execute(made, {"value": secrets.token_hex(4)})
    return str(conn.execute(select(meta.c.value).where(meta.c.key == "incarnation")).scalar_one())


def renew_incarnation(conn: Connection) -> None:
    """Whoever holds a cursor begins with a snapshot: what it has seen may not be what stands there now."""
    conn.execute(update(meta).where(meta.c.key == "incarnation").values(value=secrets.token_hex(4)))
