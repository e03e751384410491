"""Quarantine: a session of which something is damaged is read and exported, and nothing else happens to it (promise X-06).

It is marked once, by whoever meets the damage. From then on it takes no turns, and no rule clears, trims, compacts or removes
it: what is left is to be had. It ends when everything checks out again (``rebuilding``), or when its owner clears it.

The bytes of a file are no reason: nothing of them was ever said, and nothing that is said hangs on them. Damaged, they cost the
file, and the session goes on.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from sqlalchemy import Connection, bindparam, select

from legato.core.errors import Corrupted, SessionNotFound
from legato.core.events import SessionEvent
from legato.store.locked import Locked, lock
from legato.store.port import Row
from legato.store.schema import sessions

#: Where damage was met, by what the error tells of it.
_PLACES: Final[Mapping[str, str]] = {
    "message_id": "message",
    "turn_id": "turn",
    "after": "journal",
    "seq": "journal",
    "content_id": "file",
}


class Marked(msgspec.Struct, frozen=True):
    """What marking a session has appended: nothing where it was marked before."""

    rows: tuple[Row, ...]


def place_of(error: Corrupted) -> str:
    """``message``, ``turn``, ``journal``, ``file``, or ``page`` where nobody can tell."""
    return next((place for detail, place in _PLACES.items() if detail in error.details), "page")


def is_marked(conn: Connection, session_id: str) -> bool:
    return conn.execute(_SINCE, {"session_id": session_id}).scalar() is not None


def mark(conn: Connection, session_id: str, reason: str) -> Marked:
    """Raises SessionNotFound: it has been deleted."""
    session = lock(conn, session_id, None)
    set_apart(session, reason)
    return Marked(session.save())


def set_apart(session: Locked, reason: str) -> None:
    """Mark a session that is locked, and tell its readers; it stays as it is where it is marked, or only a file is damaged."""
    if session.quarantined or reason == "file":
        return
    session.quarantined = True
    session.change(quarantined_at=session.now, quarantine_reason=reason)
    session.append([SessionEvent(session.session())])


def lift(session: Locked) -> None:
    """Nothing of it is damaged any more; the caller tells its readers."""
    session.quarantined = False
    session.change(quarantined_at=None, quarantine_reason=None)


def reason(conn: Connection, session_id: str) -> str | None:
    """What was found first; None for a session that is not marked.

    Raises:
        SessionNotFound.
    """
    row = conn.execute(_REASON, {"session_id": session_id}).first()
    if row is None:
        raise SessionNotFound
    return row.quarantine_reason if row.quarantined_at is not None else None


_SINCE: Final = select(sessions.c.quarantined_at).where(sessions.c.id == bindparam("session_id"))
_REASON: Final = select(sessions.c.quarantined_at, sessions.c.quarantine_reason).where(
    sessions.c.id == bindparam("session_id")
)
