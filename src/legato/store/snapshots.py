"""State and cursor of one instant (guarantee G17)."""

from sqlalchemy import Connection, select

from legato.core.errors import BadCursor
from legato.core.fold import Fold
from legato.core.model import Message, State, Turn
from legato.store import messages
from legato.store.ending import last_finished, open_fold, row_of
from legato.store.locked import readable
from legato.store.rows import to_gauge, to_session, to_turn
from legato.store.schema import sends
from legato.store.turns import unfinished


def snapshot(conn: Connection, session_id: str, owner: str, limit: int) -> tuple[State, int]:
    """The session with the ``limit`` newest messages of its active branch, and the head of its journal.

    Raises:
        SessionNotFound, Corrupted.
    """
    row = readable(conn, session_id, owner)
    path = messages.branch(conn, row.leaf_id, limit + 1)
    state = State(
        session=to_session(row),
        messages=tuple(path[-limit:]),
        turns=last_finished(conn, session_id),
        leaf_id=row.leaf_id,
        has_more=len(path) > limit,
        gauge=to_gauge(row.gauge),
    )
    fold = Fold(state)
    _add_unfinished(conn, session_id, fold)
    return fold.state(), row.head


def _add_unfinished(conn: Connection, session_id: str, fold: Fold) -> None:
    for row in unfinished(conn, session_id):
        fold.turns[row.id] = to_turn(row)
        if row.status == "in_progress":
            fold.overlay(open_fold(conn, row))
        elif (waiting := messages.get(conn, row.message_id)) is not None and waiting.status == "queued":
            fold.show(waiting)


def turn(conn: Connection, session_id: str, owner: str, turn_id: str) -> Turn:
    """A turn as it stands, the phase of a running one included.

    Raises:
        SessionNotFound, TurnNotFound.
    """
    readable(conn, session_id, owner)
    row = row_of(conn, session_id, turn_id)
    return open_fold(conn, row).turns[turn_id] if row.status == "in_progress" else to_turn(row)


def done_seq(conn: Connection, session_id: str, owner: str, turn_id: str) -> int | None:
    """Where a turn's ``done`` stands in the journal, None while it goes on.

    Raises:
        SessionNotFound, TurnNotFound.
    """
    readable(conn, session_id, owner)
    seq: int | None = row_of(conn, session_id, turn_id).done_seq
    return seq


def begun_at(conn: Connection, session_id: str, owner: str, turn_id: str) -> int:
    """The seq right before a turn's first event.

    Raises:
        SessionNotFound, TurnNotFound.
    """
    readable(conn, session_id, owner)
    row_of(conn, session_id, turn_id)
    sent = select(sends.c.cursor_seq).where(sends.c.session_id == session_id, sends.c.turn_id == turn_id)
    seq: int | None = conn.execute(sent).scalar()
    return seq or 0  # a welcome is a session's first turn


def history(
    conn: Connection, session_id: str, owner: str, limit: int, cursor: str | None
) -> tuple[list[Message], str | None]:
    """A page of the active branch, oldest first, and the cursor to the page before it.

    Raises:
        SessionNotFound; BadCursor: the cursor names no message of this session.
    """
    row = readable(conn, session_id, owner)
    leaf_id = row.leaf_id
    if cursor is not None:
        # Its words are not read: they may be damaged, and another's.
        if messages.place(conn, session_id, cursor) is None:
            raise BadCursor
        leaf_id = cursor
    page = messages.branch(conn, leaf_id, limit + 1)
    older = page[0].id if len(page) > limit else None
    return _current(conn, session_id, page[-limit:]), older


def _current(conn: Connection, session_id: str, page: list[Message]) -> list[Message]:
    """The running turn's messages as they stand in the journal, not as they were when it began."""
    running = [turn for turn in unfinished(conn, session_id) if turn.status == "in_progress"]
    if not running:
        return page
    fold = open_fold(conn, running[0])
    return [fold.message(message.id) or message for message in page]
