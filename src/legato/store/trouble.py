"""What a database's own failure means: away, out of space, or damaged. Its words go to the log, where they are safe."""

import logging
from typing import Final

from sqlalchemy.exc import DBAPIError

from legato.core.errors import Corrupted, StoreFull, Unavailable

_SQLITE_CORRUPT: Final = 11
_SQLITE_FULL: Final = 13
_SQLITE_NO_TEXT: Final = "Could not decode to UTF-8"
_PG_FULL: Final = "53100"
_PG_CORRUPT: Final = ("XX001", "XX002")

log = logging.getLogger("legato.store")


def of_sqlite(error: BaseException) -> Unavailable:
    """What to tell whoever asked for the transaction."""
    # SQLite's words are fixed sentences ("database is locked", "disk is full"), for the operator only.
    log.warning("SQLite: %s", _causes(error)[-1])
    return StoreFull() if _SQLITE_FULL in _codes(error) else Unavailable()


def read_of_sqlite(error: BaseException) -> Unavailable | Corrupted:
    """What to tell a reader: a damaged page stays damaged, so that trying again would be in vain."""
    trouble = of_sqlite(error)
    return Corrupted("a page of the database is damaged") if _SQLITE_CORRUPT in _codes(error) else trouble


def _codes(error: BaseException) -> set[int]:
    """SQLite's primary codes."""
    return {getattr(cause, "sqlite_errorcode", 0) & 0xFF for cause in _causes(error)}


def _causes(error: BaseException) -> list[BaseException]:
    """The driver's own errors, wrapped by SQLAlchemy or not.

    A full disk undoes the transaction, and the failure to undo it again hides what it came from: the last of these.
    """
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None:
        found.append(cause.orig if isinstance(cause, DBAPIError) and cause.orig is not None else cause)
        cause = cause.__context__
    return [cause for cause in found if hasattr(cause, "sqlite_errorcode")] or found[-1:]


def unreadable(error: BaseException) -> Corrupted | None:
    """Text that is none any more, which the driver refuses to read before a checksum could tell."""
    return Corrupted("a stored text is damaged") if str(error).startswith(_SQLITE_NO_TEXT) else None


def of_postgres(cause: BaseException) -> Unavailable:
    """What to tell whoever asked for the transaction."""
    log.warning("PostgreSQL: %s", type(cause).__name__)  # its words may quote what was written
    return StoreFull() if getattr(cause, "sqlstate", None) == _PG_FULL else Unavailable()


def read_of_postgres(cause: BaseException) -> Unavailable | Corrupted:
    """What to tell a reader, as ``read_of_sqlite``."""
    trouble = of_postgres(cause)
    damaged = getattr(cause, "sqlstate", None) in _PG_CORRUPT
    return Corrupted("a page of the database is damaged") if damaged else trouble
