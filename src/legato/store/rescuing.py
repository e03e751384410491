"""Turns whose process stops or dies: nobody's again, for another attempt, or ended (promises R-02, R-07)."""

import contextlib
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from legato.core.errors import Corrupted
from legato.core.events import Event, Reset, TurnEvent
from legato.core.fold import Fold
from legato.core.model import Message, Turn
from legato.store import steps
from legato.store.ending import Ended, Ending, Meter, end_open, open_fold, row_of
from legato.store.locked import Locked, lock
from legato.store.turns import change

MAX_CRASHES: Final = 3  # a turn that kills its process each time must not go on doing so


def park(conn: Connection, session_id: str, turn_id: str, epoch: int) -> Ended | None:
    """Give a turn back, for another process to take; None when it may not be said again, or is not the caller's.

    One that has said nothing always may; another one as its agent's crash policy says; in quarantine none, where nobody would
    take it and what it has said stays.

    Raises:
        SessionNotFound: it has been deleted.
    """
    session = lock(conn, session_id, None)
    row = row_of(conn, session_id, turn_id)
    if session.epoch != epoch or row.status != "in_progress" or session.quarantined:
        return None
    fold = open_fold(conn, row)
    answer = fold.message(row.answer_id)
    silent = answer is not None and not answer.parts and row.message_id in (answer.id, answer.parent_id)
    if answer is None or not (silent or row.on_crash != "incomplete"):
        return None  # it has spoken, if only before it was steered
    return Ended(_give_back(session, row, fold, answer), session.save())


def rescue(
    conn: Connection, session_id: str, turn_id: str, worker_id: str, ending: Ending, meter: Meter
) -> Ended | None:
    """A turn whose owner is dead: nobody's again, or ended, as its agent's crash policy says; in quarantine always ended.

    None when somebody else has, or a new owner runs it.

    Raises:
        SessionNotFound: it has been deleted.
    """
    session = lock(conn, session_id, None)
    row = row_of(conn, session_id, turn_id)
    if row.status != "in_progress" or row.worker_id != worker_id:
        return None
    if row.on_crash != "incomplete" and row.crashes < MAX_CRASHES and not session.quarantined:
        with contextlib.suppress(Corrupted):
            fold = open_fold(conn, row)
            if (answer := fold.message(row.answer_id)) is not None:
                change(conn, turn_id, crashes=row.crashes + 1)
                return Ended(_give_back(session, row, fold, answer), session.save())
    return Ended(end_open(session, row, ending, meter), session.save())


def _give_back(session: Locked, row: Any, fold: Fold, answer: Message) -> Turn:
    """Under a raised epoch; who begins anew takes back what was said, not what was done."""
    session.raise_epoch()
    turn = msgspec.structs.replace(fold.turns[row.id], phase=None, detail=None)
    told: list[Event] = []
    if row.on_crash == "restart":
        told += [Reset(row.id, answer.id)] if answer.parts else []
        steps.forget_replies(session.conn, row.id)
    change(session.conn, row.id, worker_id=None)
    session.append([*told, TurnEvent(turn)], row.id)
    return turn
