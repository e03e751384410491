"""The queue: what waits in a session, in the order in which it will run, and what its owner may change of it (promise R-03).

Whoever changes a waiting turn and whoever claims it meet on the session's row: one of them comes first, and the other sees it.
A turn's place is its rank; those who move exchange theirs, so that who is accepted later still comes last.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from legato.core.errors import Invalid, TurnNotQueued
from legato.core.events import MessageEvent, TurnEvent
from legato.core.model import FilePart, Message, Part, Session, Turn
from legato.store import attaching, messages, search
from legato.store.ending import row_of
from legato.store.locked import Locked, lock, readable
from legato.store.port import Row
from legato.store.rows import to_turn
from legato.store.turns import change, unfinished


class Waiting(msgspec.Struct, frozen=True):
    """A turn that waits, and the message that it has brought (a retry and a welcome bring none)."""

    turn: Turn
    message: Message | None


class Last(msgspec.Struct, frozen=True):
    """After all the others."""


class Amend(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be changed: what is asked, and before which other turn it runs. None: that stays.

    ``keeps_files``: of what is asked, only the words.
    """

    parts: tuple[Part, ...] | None = None
    keeps_files: bool = False
    before: str | Last | None = None


class Amended(msgspec.Struct, frozen=True):
    """The turn as it is now, and what was appended."""

    turn: Turn
    rows: tuple[Row, ...] = ()


#: Raises what makes new words of a turn unacceptable for its session.
Check = Callable[[Session, Turn, tuple[Part, ...]], None]


def waiting(conn: Connection, session_id: str, owner: str) -> list[Waiting]:
    """What waits, the next one first.

    Raises:
        SessionNotFound.
    """
    readable(conn, session_id, owner)
    rows = _queued(conn, session_id)
    brought = messages.by_ids(conn, [row.message_id for row in rows if to_turn(row).brings_message])
    return [Waiting(to_turn(row), brought.get(row.message_id)) for row in rows]


def amend(
    conn: Connection,
    session_id: str,
    owner: str,
    turn_id: str,
    what: Amend,
    check: Check = lambda session, turn, parts: None,
) -> Amended:
    """Change what a waiting turn asks, or when it runs.

    Raises:
        SessionNotFound, TurnNotFound; TurnNotQueued: it has been claimed, or has ended, or the other one has;
        Invalid: it has no words of its own; FileNotFound; and what ``check`` raises.
    """
    session = lock(conn, session_id, owner)
    turn = _still_queued(session, turn_id)
    if what.before is not None:
        _move(session, turn_id, what.before)
    if what.parts is not None:
        _rewrite(session, turn, what.parts, check, keeps_files=what.keeps_files)
    rows = session.save()
    return Amended(to_turn(row_of(conn, session_id, turn_id)), rows)


def _still_queued(session: Locked, turn_id: str) -> Turn:
    turn = to_turn(row_of(session.conn, session.id, turn_id))
    if turn.status != "queued":
        raise TurnNotQueued(turn_id=turn_id)
    return turn


def _rewrite(session: Locked, turn: Turn, parts: tuple[Part, ...], check: Check, *, keeps_files: bool) -> None:
    message = messages.get(session.conn, turn.message_id) if turn.kind in _WORDED else None
    if message is None:
        raise Invalid("This turn has no words of its own.", turn_id=turn.id)
    if keeps_files:
        parts = (*(part for part in message.parts if isinstance(part, FilePart)), *parts)
    else:
        parts = attaching.looked_up(session.conn, session.owner, parts)
    check(session.known, turn, parts)
    if message.parts == parts:
        return
    if not keeps_files:
        parts = attaching.replace(session.conn, session.owner, session.id, message.id, parts)
    message = msgspec.structs.replace(message, parts=parts)
    messages.replace(session.conn, message)
    search.note_rewritten(session.conn, message)
    session.append([MessageEvent("changed", message.id, message)], turn.id)


def _move(session: Locked, turn_id: str, before: str | Last) -> None:
    rows = _queued(session.conn, session.id)
    order = [row.id for row in rows if row.id != turn_id]
    match before:
        case Last():
            order.append(turn_id)
        case _ if before == turn_id:
            return
        case _:
            order.insert(order.index(_still_queued(session, before).id), turn_id)
    by_id = {row.id: to_turn(row) for row in rows}
    for place, row in zip(order, rows, strict=True):
        if by_id[place].rank != row.rank:
            change(session.conn, place, rank=row.rank)
            # Each in a row of its turn's own: what is removed with one must not take another's place with it.
            session.append([TurnEvent(msgspec.structs.replace(by_id[place], rank=row.rank))], place)


def _queued(conn: Connection, session_id: str) -> Sequence[Any]:
    return [row for row in unfinished(conn, session_id) if row.status == "queued"]


#: Turns whose words are the person's own.
_WORDED: Final = ("send", "edit")
