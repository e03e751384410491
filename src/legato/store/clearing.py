"""Taking away what was cleared, a slice a transaction (promise S-08, guarantee G12).

``ending.clear`` empties a session at once, however long it is: from then on nothing up to ``cleared_seq`` is told, and no
message of a turn that had ended by then is found. What is left of it goes here. Meanwhile the session is used again: what
was said since is not touched. Who cleared waits until it is gone; should he die on the way, the chore ``clear`` is there.
"""

from typing import Final

from sqlalchemy import Connection, Integer, bindparam, func, or_, select

from legato.core.errors import SessionNotFound
from legato.store import chores, journal, messages, scrubbing
from legato.store.erasing import SLICE_BYTES, choose
from legato.store.locked import lock
from legato.store.schema import journal as journal_table
from legato.store.schema import messages as message_table
from legato.store.schema import turns

_MESSAGES: Final = 100
_ROWS: Final = 200


def remove(conn: Connection, session_id: str) -> bool:
    """Take a slice of what was cleared away; whether that was the last one."""
    try:
        session = lock(conn, session_id, None)
    except SessionNotFound:
        return True  # deleted meanwhile: all of it goes
    where = {"session_id": session_id, "cleared_seq": session.cleared_seq}
    gone, _ = choose(conn.execute(_GONE, where | {"some": _MESSAGES}), SLICE_BYTES)
    if gone:
        messages.remove(conn, gone)
    else:
        told, _ = choose(conn.execute(_TOLD, where | {"some": _ROWS}), SLICE_BYTES)
        if not told:
            journal.bury(conn, session_id, session.cleared_seq)  # what was missing is accounted for, too
            chores.take_back(conn, session_id, "clear")
            return True
        journal.bury(conn, session_id, told[-1])
    scrubbing.want(conn)
    return False


_SINCE: Final = select(turns.c.id).where(
    turns.c.session_id == bindparam("session_id"),
    or_(turns.c.done_seq.is_(None), turns.c.done_seq > bindparam("cleared_seq")),
)
_GONE: Final = (
    select(message_table.c.id, func.length(message_table.c.parts))
    .where(message_table.c.session_id == bindparam("session_id"), message_table.c.turn_id.not_in(_SINCE))
    .limit(bindparam("some", type_=Integer))
)
# Buried up to a seq, it is one row, which has nothing before it.
_TOLD: Final = (
    select(journal_table.c.last_seq, func.length(journal_table.c.payload))
    .where(
        journal_table.c.session_id == bindparam("session_id"),
        journal_table.c.last_seq <= bindparam("cleared_seq"),
        or_(journal_table.c.first_seq > 1, func.length(journal_table.c.payload) > 0),
    )
    .order_by(journal_table.c.last_seq)
    .limit(bindparam("some", type_=Integer))
)
