"""Whether something was removed whose bytes may still lie about in the files of the database (guarantee G12).

The wish is noted in the transaction that removes, so that it survives whoever would fulfil it. What has to be done is the
driver's (``Store.scrub``): SQLite leaves what it has written in its write-ahead log; PostgreSQL has its vacuum.
"""

from typing import Final

from sqlalchemy import Connection, bindparam, delete, select, text

from legato.store.dialect import is_postgresql
from legato.store.schema import meta

_KEY: Final = "scrub"


def want(conn: Connection) -> None:
    """Have the files scrubbed of what this transaction removes."""
    if not is_postgresql(conn):
        conn.execute(_WANT, {"key": _KEY})


def wanted(conn: Connection) -> str | None:
    """What ``done`` is to be told; None where nothing was removed since."""
    found: str | None = conn.execute(_WANTED, {"key": _KEY}).scalar()
    return found


def done(conn: Connection, wish: str) -> None:
    """It was done for this wish; one that came meanwhile stays."""
    conn.execute(_DONE, {"key": _KEY, "wish": wish})


_WANT: Final = text(
    "INSERT INTO meta VALUES (:key, '1') ON CONFLICT (key) DO UPDATE SET value = CAST(meta.value AS INTEGER) + 1"
)
_WANTED: Final = select(meta.c.value).where(meta.c.key == bindparam("key"))
_DONE: Final = delete(meta).where(meta.c.key == bindparam("key"), meta.c.value == bindparam("wish"))
