"""Rebuilding: what is damaged in a session is written anew from its journal, and quarantine ends where all that was said
checks out.

One transaction a session: the diagnosis, the repairs, and the diagnosis again, which has the last word.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Table, bindparam, delete, insert, select, update

from legato.core.events import SessionEvent
from legato.core.model import Turn
from legato.core.states import is_terminal
from legato.store import quarantine, search_repairs
from legato.store.diagnosis import Diagnosis, Repairs, diagnose
from legato.store.dialect import locked
from legato.store.importing import turn_columns
from legato.store.locked import lock
from legato.store.rows import from_message
from legato.store.schema import messages, sessions, turns

#: Who owned a running turn whose row was lost: nobody who lives, so that the next server ends it.
_LOST: Final = "wrk_lost"


class Rebuilt(msgspec.Struct, frozen=True):
    """The session before and after. ``changed``: something was written."""

    before: Diagnosis
    after: Diagnosis
    changed: bool


def rebuild(conn: Connection, session_id: str) -> Rebuilt | None:
    """Restore what the journal can restore; None for a session that is gone.

    A session of which something but a file stays damaged is in quarantine afterwards, if it was not before.
    """
    conn.execute(_HOLD, {"session_id": session_id})  # not ``lock``: the row itself may be damaged
    before = diagnose(conn, session_id)
    if before is None:
        return None
    if before.findings:
        _apply(conn, session_id, before.repairs)
    after = (diagnose(conn, session_id) if before.findings else before) or before
    session = lock(conn, session_id, None)
    if after.reason is not None:
        quarantine.set_apart(session, after.reason)
    elif session.quarantined:
        quarantine.lift(session)
        session.append([SessionEvent(session.session())])
    session.save()
    return Rebuilt(before, after, changed=before.findings != after.findings)


def _apply(conn: Connection, session_id: str, repairs: Repairs) -> None:
    if repairs.session:
        conn.execute(update(sessions).where(sessions.c.id == session_id).values(**repairs.session))
    _remove(conn, messages, session_id, repairs.lost_messages)
    _remove(conn, turns, session_id, repairs.lost_turns)
    for message, there in repairs.messages:
        _put(conn, messages, from_message(message), there=there)
    for turn, there in sorted(repairs.turns, key=_ended_first):
        _put(conn, turns, _turn(turn, repairs.columns.get(turn.id, {}), there=there), there=there)
    session = lock(conn, session_id, None)
    search_repairs.repair(conn, session_id, session.owner, session.known.title, repairs.entries)


def _ended_first(put: tuple[Turn, bool]) -> bool:
    """At most one turn is open at any time, also while they are written."""
    return not is_terminal(put[0].status)


def _remove(conn: Connection, table: Table, session_id: str, ids: Iterable[str]) -> None:
    for id_ in ids:
        conn.execute(delete(table).where(table.c.session_id == session_id, table.c.id == id_))


def _put(conn: Connection, table: Table, values: dict[str, Any], *, there: bool) -> None:
    conn.execute(
        update(table).where(table.c.id == values["id"]).values(values) if there else insert(table).values(values)
    )


def _turn(turn: Turn, more: Mapping[str, Any], *, there: bool) -> dict[str, Any]:
    """Its columns: what the journal does not know stays as it is, or is what costs least to be wrong about."""
    values = turn_columns(turn, 0)
    del values["done_seq"], values["compacted"]
    if turn.status == "in_progress":
        values["context"] = None  # written when it ends
    if not there:
        values |= {"compacted": False, "worker_id": _LOST if turn.status == "in_progress" else None}
    return {**values, **more}


_HOLD: Final = locked(select(sessions.c.id).where(sessions.c.id == bindparam("session_id")))
