"""Steering: the running agent takes over messages that wait with mode ``steer``, at a step's boundary.

Its answer so far becomes a message of its own (or goes, when nothing was said yet), the user's messages follow, and a new
answer begins after them, all within the running turn. The turns that brought the messages are completed: ``steered``.
"""

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Connection

from legato.core.events import Event, MessageEvent, TurnEvent
from legato.core.model import Message, Turn
from legato.store import messages, steps
from legato.store.claiming import new_answer
from legato.store.ending import Ending, end_steered, open_fold
from legato.store.locked import Locked, lock
from legato.store.port import Row
from legato.store.rows import to_turn
from legato.store.turns import change, open_turn, unfinished


class Steered(msgspec.Struct, frozen=True):
    """The running turn with its new answer, and the messages it has taken over."""

    turn: Turn
    messages: tuple[Message, ...]
    rows: tuple[Row, ...]


def waits(conn: Connection, session_id: str) -> bool:
    """Whether a steering message waits."""
    return any(_steers(row) for row in unfinished(conn, session_id))


def _steers(row: Any) -> bool:
    """An edited message has its place beside another one, not in what runs: it waits for a turn of its own."""
    return bool(row.status == "queued" and row.mode == "steer" and row.kind != "edit")


def steer(
    conn: Connection, session_id: str, turn_id: str, epoch: int, call_ids: Collection[str] = ()
) -> Steered | None:
    """Hand waiting steering messages to the running turn; None when none waits or the turn is no longer the caller's.

    The caller's events must have been committed before: what they said goes into the closed answer. ``call_ids``: what its
    models have called; it is settled with the answer.
    """
    session = lock(conn, session_id, None)
    row = open_turn(conn, session_id)
    if row is None or row.id != turn_id or session.epoch != epoch:
        return None
    waiting = [other for other in unfinished(conn, session_id) if _steers(other)]
    if not waiting:
        return None
    events = _close_answer(session, row)
    steps.settle(conn, turn_id, call_ids)
    taken = [_take_over(session, row, other, events) for other in waiting]
    turn = _answer_anew(session, row, taken[-1].id, events)
    session.append(events, turn_id)
    for other in waiting:
        end_steered(session, other, Ending(status="completed", reason="steered"))
    return Steered(turn, tuple(taken), session.save())


def _close_answer(session: Locked, row: Any) -> list[Event]:
    answer = open_fold(session.conn, row).message(row.answer_id)
    if answer is None:
        return []
    if not answer.parts:
        session.move_leaf(answer.parent_id)
        messages.remove(session.conn, [answer.id])
        return [MessageEvent("removed", answer.id)]
    answer = msgspec.structs.replace(answer, status="completed")
    messages.replace(session.conn, answer)
    return [MessageEvent("changed", answer.id, answer)]


def _take_over(session: Locked, row: Any, other: Any, events: list[Event]) -> Message:
    message = messages.by_ids(session.conn, [other.message_id])[other.message_id]
    message = msgspec.structs.replace(message, status="completed", parent_id=session.leaf_id, turn_id=row.id)
    messages.replace(session.conn, message)
    session.move_leaf(message.id)
    events.append(MessageEvent("changed", message.id, message))
    return message


def _answer_anew(session: Locked, row: Any, parent_id: str, events: list[Event]) -> Turn:
    answer = new_answer(session, to_turn(row), parent_id)
    change(session.conn, row.id, answer_id=answer.id)
    turn = msgspec.structs.replace(open_fold(session.conn, row).turns[row.id], answer_id=answer.id)
    events += [MessageEvent("added", answer.id, answer), TurnEvent(turn)]
    return turn
