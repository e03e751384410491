"""What a session of which something is damaged still says: as ``snapshots``, with what is whole, and markers for the rest."""

import contextlib
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select

from legato.core.errors import BadCursor, Corrupted
from legato.core.events import MessageEvent
from legato.core.fold import Fold
from legato.core.model import Message, State, Turn
from legato.store import journal, legible, messages
from legato.store.ending import row_of
from legato.store.locked import readable
from legato.store.rows import to_session
from legato.store.schema import messages as message_table
from legato.store.schema import turns


def snapshot(conn: Connection, session_id: str, owner: str, limit: int) -> tuple[State, int]:
    """The session with the ``limit`` newest messages of its active branch, and the head of its journal.

    Raises:
        SessionNotFound.
    """
    row = readable(conn, session_id, owner)
    path = messages.branch_legibly(conn, row.leaf_id, limit + 1)
    last = conn.execute(_LAST_FINISHED, {"session_id": session_id}).first()
    state = State(
        session=to_session(row),
        messages=tuple(path[-limit:]),
        turns=() if last is None else (legible.turn(last),),
        leaf_id=row.leaf_id,
        has_more=len(path) > limit,
    )
    fold = Fold(state)
    for unfinished in conn.execute(_UNFINISHED, {"session_id": session_id}).all():
        _add(conn, unfinished, fold)
    return fold.state(), row.head


def _add(conn: Connection, row: Any, fold: Fold) -> None:
    turn = legible.turn(row)
    fold.turns[turn.id] = turn
    if turn.status == "in_progress":
        fold.overlay(open_fold(conn, turn, row.start_seq))
    else:
        for waiting in legible.messages_by_ids(conn, [turn.message_id]).values():
            if waiting.status == "queued":
                fold.show(waiting)


def open_fold(conn: Connection, turn: Turn, start_seq: int | None) -> Fold:
    """The running turn and its messages as the journal tells them up to the damage."""
    fold = Fold()
    fold.turns[turn.id] = turn
    for message in legible.messages_of_turn(conn, turn.id):
        fold.apply(MessageEvent("added", message.id, message))
    with contextlib.suppress(Corrupted):
        rows = journal.whole_of_turn(conn, turn.session_id, turn.id, start_seq or 0)
        fold.apply_all(journal.turn_events(rows))
    return fold


def turn(conn: Connection, session_id: str, owner: str, turn_id: str) -> Turn:
    """Raises SessionNotFound, TurnNotFound."""
    readable(conn, session_id, owner)
    row_of(conn, session_id, turn_id)
    found = conn.execute(_TURN, {"id": turn_id}).one()
    told = legible.turn(found)
    return open_fold(conn, told, found.start_seq).turns[turn_id] if told.status == "in_progress" else told


def history(
    conn: Connection, session_id: str, owner: str, limit: int, cursor: str | None
) -> tuple[list[Message], str | None]:
    """A page of the active branch, oldest first, and the cursor to the page before it.

    Raises:
        SessionNotFound; BadCursor: the cursor names no message of this session.
    """
    leaf_id = readable(conn, session_id, owner).leaf_id
    if cursor is not None:
        if conn.execute(_WHERE, {"id": cursor}).scalar() != session_id:
            raise BadCursor
        leaf_id = cursor
    page = messages.branch_legibly(conn, leaf_id, limit + 1)
    older = page[0].id if len(page) > limit else None
    return _current(conn, session_id, page[-limit:]), older


def _current(conn: Connection, session_id: str, page: Sequence[Message]) -> list[Message]:
    running = [row for row in conn.execute(_UNFINISHED, {"session_id": session_id}) if row.start_seq is not None]
    if not running:
        return list(page)
    fold = open_fold(conn, legible.turn(running[0]), running[0].start_seq)
    return [fold.message(message.id) or message for message in page]


_OF_SESSION: Final = select(*legible.columns(turns)).where(turns.c.session_id == bindparam("session_id"))
_UNFINISHED: Final = _OF_SESSION.where(turns.c.status.in_(("in_progress", "queued"))).order_by(
    turns.c.status, turns.c.rank
)
_LAST_FINISHED: Final = _OF_SESSION.where(turns.c.done_seq.is_not(None)).order_by(turns.c.done_seq.desc()).limit(1)
_TURN: Final = select(*legible.columns(turns)).where(turns.c.id == bindparam("id"))
_WHERE: Final = select(message_table.c.session_id).where(message_table.c.id == bindparam("id"), messages.NOT_CLEARED)
