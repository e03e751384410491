"""A store from a database URL."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from legato.core.errors import Misuse
from legato.store.port import Store
from legato.store.sqlite import SqliteStore, now_us


def open_store(url: str, *, clock_us: Callable[[], int] = now_us) -> Store:
    """``sqlite:///chat.db``, ``sqlite:////absolute/chat.db`` or ``postgresql://…``; started by its ``start``.

    Raises:
        Misuse: neither SQLite nor PostgreSQL.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise Misuse("the database URL can't be read; it begins with sqlite:/// or postgresql://") from error
    match parsed.get_backend_name():
        case "sqlite" if parsed.database not in (None, "", ":memory:"):
            return SqliteStore(path=Path(str(parsed.database)), clock_us=clock_us)
        case "postgresql" if parsed.drivername == "postgresql":
            from legato.store.postgres import PostgresStore  # 11 MiB that SQLite does without

            return PostgresStore(url=url)
        case _:
            raise Misuse("Legato stores in a SQLite file (sqlite:///chat.db) or in PostgreSQL (postgresql://…)")
