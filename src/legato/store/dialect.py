"""Where SQLite and PostgreSQL differ; besides the hot append (``journal``), the rest of this package is one body of SQL."""

from typing import Any, Final

from sqlalchemy import BigInteger, Connection, LargeBinary, Select, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction


class utc_us(GenericFunction[int]):
    """Microseconds since 1970 by the store's clock: the server's own on PostgreSQL, the process's on SQLite."""

    type = BigInteger()
    inherit_cache = True


@compiles(utc_us, "postgresql")
def _postgresql_now(element: utc_us, compiler: Any, **options: Any) -> str:
    # clock_timestamp moves within a transaction, unlike now(): a wait for a row lock must not date things back.
    return "(extract(epoch from clock_timestamp()) * 1000000)::bigint"


@compiles(utc_us, "sqlite")
def _sqlite_now(element: utc_us, compiler: Any, **options: Any) -> str:
    return "legato_now()"


class raw_text(GenericFunction[bytes]):
    """The bytes of a text, whether or not they are one: what rotted may not be UTF-8 any more."""

    type = LargeBinary()
    inherit_cache = True


@compiles(raw_text, "postgresql")
def _postgresql_bytes(element: raw_text, compiler: Any, **options: Any) -> str:
    return f"convert_to({compiler.process(element.clauses, **options)}, 'UTF8')"


@compiles(raw_text, "sqlite")
def _sqlite_bytes(element: raw_text, compiler: Any, **options: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS BLOB)"


def is_postgresql(conn: Connection) -> bool:
    return conn.dialect.name == "postgresql"


def hold(conn: Connection, name: str) -> None:
    """Let nobody else hold ``name`` until this transaction ends; SQLite's writer is alone anyway."""
    if is_postgresql(conn):
        conn.execute(_HOLD, {"name": f"legato {name}"})


_HOLD: Final = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")


def locked(select: Select[Any]) -> Select[Any]:
    """``select … for update``; SQLite ignores it, as its writer already owns the database."""
    return select.with_for_update()
