"""How a turn ends: message projected, usage, ``done``, status, in one transaction under a raised epoch.

Whoever ends an open turn (its owner, a canceller, a rescuer) reads what was said from the journal: that, and nothing in
anybody's memory, is what readers have seen. Raising the epoch makes the ending final: a late batch is refused.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, and_, bindparam, or_, select

from legato.core.errors import Conflict, Corrupted, TurnNotFound, TurnNotQueued
from legato.core.events import (
    Done,
    ErrorEvent,
    Event,
    MessageEvent,
    Snapshot,
    ToolResult,
    TurnEvent,
    UsageEvent,
)
from legato.core.fold import Fold
from legato.core.model import ErrorInfo, Gauge, Message, State, ToolCallPart, ToolResultPart, Turn, Usage
from legato.core.prompt import NOT_STARTED, OUTCOME_UNKNOWN
from legato.core.states import TerminalStatus, is_terminal, may_follow
from legato.core.steps import Step
from legato.store import approvals, chores, journal, memories, messages, quarantine, scrubbing, steps, summaries
from legato.store import usage as spending
from legato.store.chores import Kind
from legato.store.locked import Locked, lock
from legato.store.port import Row
from legato.store.rows import to_json, to_time, to_turn
from legato.store.schema import messages as message_table
from legato.store.schema import turns
from legato.store.statements import ROW, update_by_id

_ROW: Final = select(turns).where(turns.c.id == bindparam("id"), turns.c.session_id == bindparam("session_id"))
_LAST_FINISHED: Final = (
    select(turns)
    .where(turns.c.session_id == bindparam("session_id"), turns.c.done_seq.is_not(None))
    .order_by(turns.c.done_seq.desc())
    .limit(1)
)

_CLEARED_US: Final = 5_000_000  # by then whoever cleared has taken it away, or died

#: Usage where no provider has reported it, from the turn and what it has answered.
Meter = Callable[[Turn, tuple[Message, ...]], Usage]


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """``usage`` None: estimate it. ``remove`` takes the turn's messages out of the history. ``text`` is for readers.

    ``calls`` tell what of ``usage`` went to which model, call by call; without them all of it went to the turn's.
    ``chores`` are what the session then waits for, each with the delay in microseconds. ``damaged``: where damage was met; it
    puts the session into quarantine.
    """

    status: TerminalStatus
    reason: str
    error: ErrorInfo | None = None
    usage: Usage | None = None
    calls: tuple[tuple[str, Usage], ...] = ()
    text: str | None = None
    remove: bool = False
    chores: Mapping[Kind, int] = {}
    damaged: str | None = None


class Ended(msgspec.Struct, frozen=True):
    """The turn as it stands, and what this call appended (nothing, when it had ended before)."""

    turn: Turn
    rows: tuple[Row, ...] = ()


def finish(conn: Connection, session_id: str, turn_id: str, epoch: int, ending: Ending, meter: Meter) -> Ended | None:
    """The owner ends its turn; None when it is no longer the owner.

    Raises:
        SessionNotFound: it has been deleted.
    """
    session = lock(conn, session_id, None)
    row = row_of(conn, session_id, turn_id)
    if session.epoch != epoch or row.status != "in_progress":
        return None
    return Ended(end_open(session, row, ending, meter), session.save())


def cancel(conn: Connection, session_id: str, owner: str, turn_id: str, ending: Ending, meter: Meter) -> Ended:
    """End a turn from outside, running or waiting; one that has ended stays as it is.

    Raises:
        SessionNotFound, TurnNotFound.
    """
    session = lock(conn, session_id, owner)
    row = row_of(conn, session_id, turn_id)
    if is_terminal(row.status):
        return Ended(to_turn(row))
    end = end_open if row.status == "in_progress" else end_queued
    return Ended(end(session, row, ending, meter), session.save())


def withdraw(conn: Connection, session_id: str, owner: str, turn_id: str, meter: Meter) -> Ended:
    """Take a waiting turn back.

    Raises:
        SessionNotFound, TurnNotFound, TurnNotQueued.
    """
    session = lock(conn, session_id, owner)
    row = row_of(conn, session_id, turn_id)
    if row.status != "queued":
        raise TurnNotQueued(turn_id=turn_id)
    turn = end_queued(session, row, Ending(status="cancelled", reason="withdrawn"), meter)
    return Ended(turn, session.save())


class Cleared(msgspec.Struct, frozen=True):
    """The turns that were ended, and what was appended."""

    turn_ids: tuple[str, ...]
    rows: tuple[Row, ...]


def clear(conn: Connection, session_id: str, owner: str, meter: Meter) -> Cleared:
    """Empty a session and keep it: its turns are cancelled, its journal keeps only tombstones of what was said.

    Short, however long the session is: nobody sees anything of it any more, and ``clearing.remove`` takes it away.

    Raises:
        SessionNotFound.
    """
    session = lock(conn, session_id, owner)
    memories.alone(conn, owner)
    before = session.head
    ending = Ending(status="cancelled", reason="cleared", remove=True)
    found = select(turns).where(turns.c.session_id == session.id, turns.c.status.in_(("in_progress", "queued")))
    unfinished = conn.execute(found.order_by(turns.c.status, turns.c.rank)).all()
    for row in unfinished:
        end = end_open if row.status == "in_progress" else end_queued
        end(session, row, ending, meter)
    scrubbing.want(conn)
    approvals.forget_session(conn, session.id)
    memories.remove_all(conn, session.id)
    chores.ask(conn, session.id, "clear", session.now + _CLEARED_US)
    summaries.forget_all(conn, session.id)
    session.change(cleared_seq=before, gauge=None)
    session.move_leaf(None)
    quarantine.lift(session)  # nothing is left that could be damaged
    session.touch()
    session.append([Snapshot(state=State(session=session.session(), turns=last_finished(conn, session.id)))])
    return Cleared(tuple(row.id for row in unfinished), session.save())


def last_finished(conn: Connection, session_id: str) -> tuple[Turn, ...]:
    """The turn that ended last, if any has."""
    row = conn.execute(_LAST_FINISHED, {"session_id": session_id}).first()
    return () if row is None else (to_turn(row),)


def end_open(session: Locked, row: Any, ending: Ending, meter: Meter) -> Turn:
    """End the running turn under this lock."""
    session.raise_epoch()
    try:
        fold = open_fold(session.conn, row)
    except Corrupted as met:
        return _end_damaged(session, row, ending, quarantine.place_of(met))
    turn = fold.turns[row.id]
    asked: list[Event] = [*approvals.close(session, row.id)] if row.asks is not None else []
    events = [] if ending.remove else asked
    closed = [] if ending.remove else _closed_calls(session.conn, row.id, fold.message(turn.answer_id or ""))
    fold.apply_all(closed)
    events += closed
    answers = tuple(m for m in (fold.message(i) for i in list(fold.messages)) if m and m.role == "assistant")
    ending = _explained(ending, fold.message(turn.answer_id or ""))
    # An ending that explains itself (the agent is switched off) is one `done` and nothing else: promise R-13.
    usage = None if ending.text else ending.usage or meter(turn, answers)
    if ending.remove:
        approvals.forget(session.conn, [row.id])
        events += [MessageEvent("removed", message_id) for message_id in sorted(fold.gone)]  # buried with the rest
        events += _remove(session, row)
        # Who comes later finds none of its earlier events: this tells what ended.
        events.append(TurnEvent(msgspec.structs.replace(turn, phase=None, detail=None)))
    else:
        _project(session, fold.message(turn.answer_id or ""), ending, usage)
    if usage is not None:
        if ending.error is not None and ending.status == "failed":
            events.append(ErrorEvent(row.id, ending.error.code, ending.error.message))
        events.append(_usage_event(turn, usage, ending.calls))
    return _close(session, turn, ending, usage, events)


def _closed_calls(conn: Connection, turn_id: str, answer: Message | None) -> list[Event]:
    """Calls that have no result get one that says what is known of them, so that nobody retries a payment blindly (R-08)."""
    if answer is None:
        return []
    answered = {part.call_id for part in answer.parts if isinstance(part, ToolResultPart)}
    calls = [part for part in answer.parts if isinstance(part, ToolCallPart) and part.call_id not in answered]
    if not calls:
        return []
    try:
        begun = {step.call_id: step for step in steps.of_turn(conn, turn_id)}
    except Corrupted:
        begun = None
    told: list[Event] = []
    for at, call in enumerate(calls, len(answer.parts)):
        output, is_error = _outcome(call, begun)
        told.append(ToolResult(turn_id, answer.id, at, call.call_id, output, is_error))
    return told


def _outcome(call: ToolCallPart, begun: Mapping[str | None, Step] | None) -> tuple[str, bool]:
    """What the step of a call says."""
    step = None if begun is None else begun.get(call.call_id)
    if begun is not None and step is None:
        return NOT_STARTED, True
    if step is None or step.result is None:
        return OUTCOME_UNKNOWN, True
    return str(step.value()), step.failed


def _end_damaged(session: Locked, row: Any, ending: Ending, damaged: str) -> Turn:
    """End a turn whose words can't be trusted any more: none of them is served, and nothing new begins in the session."""
    if ending.status == "completed":
        ending = msgspec.structs.replace(ending, status="failed", reason="corrupted")
    error = ErrorInfo(Corrupted.code, "What was said in this turn is damaged.")
    ending = msgspec.structs.replace(ending, error=error, damaged=damaged)
    asked = approvals.close(session, row.id)
    events: list[Event] = _remove(session, row) if ending.remove else [*asked]
    messages.close_unread(session.conn, row.answer_id, ending.status, ending.error)
    return _close(session, to_turn(row), ending, None, events)


def end_queued(session: Locked, row: Any, ending: Ending, _meter: Meter | None = None) -> Turn:
    """End a waiting turn under this lock: its message never entered the history and leaves the queue."""
    turn = to_turn(row)
    events: list[Event] = []
    if turn.brings_message:
        messages.remove(session.conn, [turn.message_id])
        events.append(MessageEvent("removed", turn.message_id))
    return _close(session, turn, ending, None, events)


def end_steered(session: Locked, row: Any, ending: Ending) -> Turn:
    """End a waiting turn whose message the running one has taken over."""
    return _close(session, to_turn(row), ending, None, [])


def open_fold(conn: Connection, row: Any) -> Fold:
    """The running turn and its messages as the journal tells them."""
    fold = Fold()
    fold.turns[row.id] = to_turn(row)
    for message in messages.of_turn(conn, row.id):
        fold.apply(MessageEvent("added", message.id, message))
    rows = journal.read_turn(conn, row.session_id, row.id, row.start_seq)
    return fold.apply_all(journal.turn_events(rows))


_EXPLANATIONS: Final = {
    "cancelled": "The turn was cancelled before the answer began.",
    "incomplete": "The answer had not begun when the server stopped.",
}


def _explained(ending: Ending, answer: Message | None) -> Ending:
    """No message is left empty without an error (promise R-06)."""
    if ending.error is not None or ending.status == "completed" or (answer is not None and answer.parts):
        return ending
    return msgspec.structs.replace(ending, error=ErrorInfo(ending.reason, _EXPLANATIONS.get(ending.status, "")))


def _project(session: Locked, answer: Message | None, ending: Ending, usage: Usage | None) -> None:
    if answer is not None:
        changed = msgspec.structs.replace(answer, status=ending.status, error=ending.error, usage=usage)
        messages.replace(session.conn, changed)


def _remove(session: Locked, row: Any) -> list[Event]:
    """The turn's messages leave the history, newest first, and their content leaves the journal."""
    mine = messages.places(session.conn, row.id)
    events: list[Event] = []
    leaf = session.leaf_id
    while leaf in mine:
        events.append(MessageEvent("removed", leaf))
        leaf = mine[leaf]
    session.move_leaf(leaf)
    messages.remove(session.conn, list(mine))
    scrubbing.want(session.conn)
    _bury(session, row, list(mine))
    brought = select(turns.c.id).where(turns.c.session_id == session.id, turns.c.message_id.in_(mine))
    for steered in session.conn.execute(brought.where(turns.c.id != row.id)):
        journal.bury_messages(session.conn, session.id, steered.id)
    return events


def _bury(session: Locked, row: Any, mine: list[str]) -> None:
    """What the turn said leaves the journal. That it left another branch must still be told to who comes later, or he stays
    there: a retry by its claim, an edit by its claim without its words."""
    conn, kind = session.conn, row.kind
    if kind == "edit":
        journal.bury_turn(conn, session.id, row.id, 0, but=row.start_seq)
        journal.silence(conn, session.id, row.start_seq, mine)
    else:
        journal.bury_turn(conn, session.id, row.id, 0 if to_turn(row).brings_message else row.start_seq)


def end_bereft(session: Locked, ending: Ending, meter: Meter) -> None:
    """End the waiting retries and edits whose place has left the history: they could never run, and nobody after them."""
    table = message_table
    here = select(table.c.id).where(table.c.session_id == session.id)
    hangs = table.c.session_id == session.id, table.c.parent_id.is_not(None), table.c.parent_id.not_in(here)
    placeless = or_(
        and_(turns.c.kind == "retry", turns.c.message_id.not_in(here)),
        and_(turns.c.kind == "edit", turns.c.message_id.in_(select(table.c.id).where(*hangs))),
    )
    found = select(turns).where(turns.c.session_id == session.id, turns.c.status == "queued", placeless)
    for row in session.conn.execute(found.order_by(turns.c.rank)).all():
        end_queued(session, row, ending, meter)


def _usage_event(turn: Turn, usage: Usage, calls: Sequence[tuple[str, Usage]]) -> UsageEvent:
    return UsageEvent(
        turn_id=turn.id,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
        total_tokens=usage.total_tokens,
        cost_usd=usage.cost_usd,
        estimated=usage.estimated,
        gauge=_gauge(turn, usage, calls),
    )


def _gauge(turn: Turn, usage: Usage, calls: Sequence[tuple[str, Usage]]) -> Gauge | None:
    """By what the last call used, else by what was planned for it and what was answered."""
    if turn.context is None or not turn.context.window:
        return None
    if calls:
        _, last = calls[-1]
        return Gauge(last.prompt_tokens + last.completion_tokens, turn.context.window)
    return Gauge(turn.context.tokens + usage.completion_tokens, turn.context.window)


def _close(session: Locked, turn: Turn, ending: Ending, usage: Usage | None, events: list[Event]) -> Turn:
    if not may_follow(turn.status, ending.status):
        raise Conflict(f"a turn that is {turn.status} can't become {ending.status}")
    at = to_time(session.now)
    done = Done(turn.id, ending.status, ending.reason, at, ending.error, ending.text)
    row = session.append([*events, done], turn.id)
    session.touch()
    ended = Fold()
    ended.apply(TurnEvent(turn))
    for event in (*events, done):
        ended.apply(event)
    turn = ended.turns[turn.id]
    if ended.gauge is not None:
        session.change(gauge=to_json(ended.gauge))
    values: dict[str, object] = {
        "status": turn.status,
        "reason": turn.reason,
        "explanation": turn.text,
        "finished_at": session.now,
        "done_seq": row.last_seq,
        "model_id": turn.model_id,  # of who really answered
        "context": None if turn.context is None else to_json(turn.context),
        "error_code": turn.error.code if turn.error else None,
        "error_message": turn.error.message if turn.error else None,
        "prompt_tokens": usage.prompt_tokens if usage else None,
        "completion_tokens": usage.completion_tokens if usage else None,
        "cached_tokens": usage.cached_tokens if usage else None,
        "cost_usd": usage.cost_usd if usage else None,
        "estimated": usage.estimated if usage else None,
        "asks": None,
    }
    session.conn.execute(update_by_id(turns, *values), {ROW: turn.id, **values})
    steps.forget(session.conn, turn.id)
    chores.ask_all(session.conn, session.id, ending.chores, session.now)
    if ending.damaged:
        quarantine.set_apart(session, ending.damaged)
    if usage is not None:
        _sum_up(session, turn, ending, usage)
    return turn


def _sum_up(session: Locked, turn: Turn, ending: Ending, usage: Usage) -> None:
    """Last in the transaction: until it is committed, whatever else ends for this owner waits (on PostgreSQL)."""
    called = ending.usage is not None or turn.context is not None
    calls = ending.calls or [(turn.model_id if called else None, usage)]
    spending.add_all(session.conn, session.owner, turn.agent_id, "turn", calls, session.now)


def row_of(conn: Connection, session_id: str, turn_id: str) -> Any:
    """Raises TurnNotFound."""
    row = conn.execute(_ROW, {"id": turn_id, "session_id": session_id}).first()
    if row is None:
        raise TurnNotFound
    return row
