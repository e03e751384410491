"""A session's row, locked for one transaction: the only way to change a session and to append outside a running turn."""

import contextlib
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, select

from legato.core.errors import SessionNotFound
from legato.core.events import Event, encode_lines
from legato.core.model import Session
from legato.store.dialect import locked, utc_us
from legato.store.journal import insert_row
from legato.store.port import Row
from legato.store.rows import to_session, to_time
from legato.store.schema import NOBODY, sessions
from legato.store.statements import ROW, update_by_id

_BY_ID: Final = select(sessions).where(sessions.c.id == bindparam("id"))
_LOCK: Final = locked(select(sessions, utc_us().label("now")).where(sessions.c.id == bindparam("id")))
_READABLE: Final = _BY_ID.where(sessions.c.owner == bindparam("owner"), sessions.c.owner != NOBODY)


class Locked:
    """What a transaction knows and does while it holds the row. ``rows`` are its appends, to be published once committed.

    ``known`` is the session as it was found and touched, without the other changes of this transaction.
    """

    def __init__(self, conn: Connection, row: Any) -> None:
        self.conn = conn
        self.id: str = row.id
        self.owner: str = row.owner
        self.agent_id: str = row.agent_id
        self.model_id: str | None = row.model_id
        self.closed = row.closed_at is not None
        self.quarantined = row.quarantined_at is not None
        self.now: int = row.now
        self.head: int = row.head
        self.epoch: int = row.epoch
        self.leaf_id: str | None = row.leaf_id
        self.cleared_seq: int = row.cleared_seq
        self.known: Session = to_session(row)
        self.rows: list[Row] = []
        self.last_activity: int = row.last_activity
        self._changes: dict[str, object] = {}

    def append(self, events: list[Event], turn_id: str | None = None) -> Row:
        """Append to the journal and move the head. Needs no epoch: the row is ours."""
        return self.enter(len(events), encode_lines(events), turn_id)

    def enter(self, count: int, payload: bytes, turn_id: str | None = None) -> Row:
        """``append`` of ``count`` events that are encoded already."""
        row = Row(self.id, self.head + 1, self.head + count, payload)
        self.head = row.last_seq
        self.change(head=self.head)
        insert_row(self.conn, row, turn_id)
        self.rows.append(row)
        return row

    def raise_epoch(self) -> int:
        """From here on whoever wrote in the old epoch is refused."""
        self.epoch += 1
        self.change(epoch=self.epoch)
        return self.epoch

    def move_leaf(self, leaf_id: str | None) -> None:
        self.leaf_id = leaf_id
        self.change(leaf_id=leaf_id)

    def touch(self) -> None:
        """The session was active just now; a clock that went back does not take its activity back."""
        latest = max(self.now, self.last_activity)
        self.known = msgspec.structs.replace(self.known, last_activity=to_time(latest))
        self.change(last_activity=latest)

    def change(self, **values: object) -> None:
        self._changes |= values

    def save(self) -> tuple[Row, ...]:
        """Write all changes of the row at once; the rows that were appended. The last thing that a transaction does."""
        if self._changes:
            self.conn.execute(update_by_id(sessions, *sorted(self._changes)), {ROW: self.id, **self._changes})
            self._changes = {}
        return tuple(self.rows)

    def session(self) -> Session:
        """The session as this transaction leaves it so far."""
        self.save()
        return to_session(self.conn.execute(_BY_ID, {"id": self.id}).one())


def lock(conn: Connection, session_id: str, owner: str | None) -> Locked:
    """Lock a session that ``owner`` may touch; None is the engine itself.

    Raises:
        SessionNotFound: there is none, or it is somebody else's, or it has been deleted.
    """
    row = conn.execute(_LOCK, {"id": session_id}).first()
    if row is None or row.owner == NOBODY or (owner is not None and row.owner != owner):
        raise SessionNotFound
    return Locked(conn, row)


def lock_all(conn: Connection, session_ids: Iterable[str], owner: str | None) -> dict[str, Locked]:
    """Lock several sessions, in one order everywhere, so that two can't wait for each other.

    Those that are not there are left out.
    """
    found: dict[str, Locked] = {}
    for session_id in sorted(set(session_ids)):
        with contextlib.suppress(SessionNotFound):
            found[session_id] = lock(conn, session_id, owner)
    return found


def readable(conn: Connection, session_id: str, owner: str) -> Any:
    """The row of a session that ``owner`` may read.

    Raises:
        SessionNotFound: there is none, or it is somebody else's.
    """
    row = conn.execute(_READABLE, {"id": session_id, "owner": owner}).first()
    if row is None:
        raise SessionNotFound
    return row
