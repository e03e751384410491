"""Claiming: a session's first waiting turn gets an owner, under a new epoch and within the limits, who may give it back."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, exists, func, literal_column, or_, select

from legato.core.errors import (
    Corrupted,
    MessageNotFound,
    SessionQuarantined,
)
from legato.core.events import MessageEvent, TurnEvent
from legato.core.ids import new_id
from legato.core.model import CrashPolicy, ErrorInfo, Message, Part, Session, Turn
from legato.core.steps import Step
from legato.store import messages, steps
from legato.store.dialect import hold
from legato.store.ending import Ended, Ending, Meter, end_open, end_queued, open_fold, row_of
from legato.store.locked import Locked, lock
from legato.store.port import Row
from legato.store.quarantine import place_of
from legato.store.rows import to_time, to_turn
from legato.store.schema import sessions, turns
from legato.store.turns import change, unfinished

_SHORT: Final = 100  # messages


class Claimant(msgspec.Struct, frozen=True, kw_only=True):
    """A worker, and what it may take.

    ``agents`` are those that it runs, each with the number of its turns that may run at once, in all processes together
    (None: any number). ``per_owner`` is the same for an owner. ``background``: whether turns that can wait may be taken.
    ``tails`` says how many messages an agent looks back at (0, also where nothing is said: all), ``on_crash`` what becomes
    of its turns when their process dies (where nothing is said: they are incomplete).
    """

    worker_id: str
    agents: Mapping[str, int | None]
    per_owner: int | None = None
    background: bool = True
    tails: Mapping[str, int] = {}
    on_crash: Mapping[str, CrashPolicy] = {}


class Resumed(msgspec.Struct, frozen=True):
    """What earlier attempts have said in the answer, and what they have done."""

    parts: tuple[Part, ...]
    steps: tuple[Step, ...]


class Claimed(msgspec.Struct, frozen=True):
    """A turn that this worker owns while ``epoch`` is its session's. ``after`` is the seq where its own events begin.

    ``history`` ends with ``message``; None: whoever runs it reads it (it may be long, or damaged). It has one message more than
    the agent looks back at, so that a turn that begins before that is seen to be cut. A welcome has none, and its ``message``
    is its own answer, still empty. ``resumed`` where it is not the first attempt.
    """

    turn: Turn
    session: Session
    message: Message
    history: tuple[Message, ...] | None
    epoch: int
    after: int
    locale: str | None
    rows: tuple[Row, ...] = ()
    resumed: Resumed | None = None


def claimable(conn: Connection, claimant: Claimant, limit: int) -> list[str]:
    """Sessions where a turn waits that this worker may take: people's before what can wait, the oldest first.

    No more than there is room for by the limits of agents and owners: whoever else tries would only be refused. A session
    waits as its most urgent turn does, though its first one runs first.
    """
    owners = _Room(_running_of_owners(conn) if claimant.per_owner is not None else {}, claimant.per_owner)
    full = owners.full()
    found: list[Any] = []
    for agent_id, room in _agents_with_room(conn, claimant).items():
        found += _waiting_of(conn, claimant, agent_id, limit if room is None else min(room, limit), full)
    return [row.session_id for row in sorted(found, key=_urgency) if owners.take(row.owner)][:limit]


def _urgency(row: Any) -> tuple[bool, int]:
    return row.priority == "background", row.created_at


class _Room:
    """How many more of each owner's turns may run, while some are chosen."""

    def __init__(self, running: Mapping[str, int], limit: int | None) -> None:
        self._running = Counter(running)
        self._limit = limit

    def full(self) -> list[str]:
        return [owner for owner, count in self._running.items() if self._limit is not None and count >= self._limit]

    def take(self, owner: str) -> bool:
        if self._limit is not None and self._running[owner] >= self._limit:
            return False
        self._running[owner] += 1
        return True


def _waiting_of(conn: Connection, claimant: Claimant, agent_id: str, limit: int, full: Sequence[str]) -> Sequence[Any]:
    """An agent's sessions that wait. It is read in the order of ``ix_turns_waiting``, so a long queue costs no more."""
    values = {"agent_id": agent_id, "limit": limit, "full": full}
    selects = (_PARKED, _QUEUED) if claimant.background else (_PARKED_PEOPLE, _QUEUED_PEOPLE)
    return sorted((row for select in selects for row in conn.execute(select, values)), key=_urgency)[:limit]


# Written out, not bound: only then is it certain that the partial indexes fit.
_IS_QUEUED: Final[ColumnElement[str]] = literal_column("'queued'")
_IS_OPEN: Final[ColumnElement[str]] = literal_column("'in_progress'")
_RUNS: Final = and_(turns.c.status == _IS_OPEN, turns.c.worker_id.is_not(None))


def _reading() -> tuple[Select[Any], Select[Any], Select[Any], Select[Any]]:
    other = turns.alias()
    neighbour = other.c.session_id == turns.c.session_id
    open_there = exists().where(neighbour, other.c.status == _IS_OPEN)
    waits_there = exists().where(neighbour, other.c.status == _IS_QUEUED)
    sooner = waits_there.where(other.c.rank < turns.c.rank)
    # In two halves, each with a range of ranks: else SQLite reads all that the session ever had.
    better = or_(
        sooner.where(other.c.priority >= turns.c.priority),
        waits_there.where(other.c.rank > turns.c.rank, other.c.priority > turns.c.priority),
    )
    found = (
        select(turns.c.session_id, turns.c.priority, turns.c.created_at, sessions.c.owner)
        .join(sessions, sessions.c.id == turns.c.session_id)
        .where(turns.c.agent_id == bindparam("agent_id"), sessions.c.owner.not_in(bindparam("full", expanding=True)))
        .order_by(turns.c.priority.desc(), turns.c.created_at)
        .limit(bindparam("limit"))
    )
    # A process that stopped has handed it over (``park``), or a person has answered: it is open, and nobody's.
    parked = found.where(turns.c.status == _IS_OPEN, turns.c.worker_id.is_(None), turns.c.asks.is_(None))
    queued = found.where(turns.c.status == _IS_QUEUED, ~open_there)
    people = turns.c.priority == "interactive"
    return parked, queued.where(~better), parked.where(people), queued.where(people, ~sooner)


_PARKED, _QUEUED, _PARKED_PEOPLE, _QUEUED_PEOPLE = _reading()


def _running_of_owners(conn: Connection) -> dict[str, int]:
    counted = select(sessions.c.owner, func.count().label("n")).join(turns, turns.c.session_id == sessions.c.id)
    return {row.owner: row.n for row in conn.execute(counted.where(_RUNS).group_by(sessions.c.owner))}


def _agents_with_room(conn: Connection, claimant: Claimant) -> dict[str, int | None]:
    """How many more of each agent's turns may run; who is at its limit is left out."""
    counted = select(turns.c.agent_id, func.count().label("n")).where(_RUNS).group_by(turns.c.agent_id)
    limited = any(limit is not None for limit in claimant.agents.values())
    running = {row.agent_id: row.n for row in conn.execute(counted)} if limited else {}
    rooms = {
        agent: None if limit is None else limit - running.get(agent, 0) for agent, limit in claimant.agents.items()
    }
    return {agent: room for agent, room in rooms.items() if room is None or room > 0}


def claim(conn: Connection, session_id: str, claimant: Claimant) -> Claimed | None:
    """Make the session's first waiting turn run under a new epoch; None when one runs already or none may.

    Raises:
        SessionNotFound: it has been deleted; SessionQuarantined: something of it is damaged.
    """
    session = lock(conn, session_id, None)
    waiting = unfinished(conn, session_id)
    if not waiting or (waiting[0].status == "in_progress" and (waiting[0].worker_id or waiting[0].asks) is not None):
        return None
    if session.quarantined:
        raise SessionQuarantined
    row = waiting[0]
    taken = take(session, to_turn(row), row.locale, claimant)
    return None if taken is None else msgspec.structs.replace(taken, rows=session.save())


def take(session: Locked, turn: Turn, locale: str | None, claimant: Claimant) -> Claimed | None:
    """Own a turn that nobody owns, if there is room for it."""
    if session.quarantined or turn.agent_id not in claimant.agents or not _has_room(session, turn, claimant):
        return None
    session.raise_epoch()
    resumed = None
    if turn.status == "in_progress":
        turn, message, resumed = _take_over(session, turn.id, claimant.worker_id)
    else:
        turn, message = _begin(session, turn, claimant)
    history = (
        () if message.role == "assistant" else _history(session.conn, message, claimant.tails.get(turn.agent_id, 0))
    )
    return Claimed(turn, session.known, message, history, session.epoch, session.head, locale, resumed=resumed)


def _history(conn: Connection, message: Message, tail: int) -> tuple[Message, ...] | None:
    """As far as it is short; others wait for this transaction."""
    if not 0 < tail <= _SHORT:
        return None
    try:
        return tuple(messages.branch(conn, message.id, tail + 1))
    except Corrupted:
        return None


def _has_room(session: Locked, turn: Turn, claimant: Claimant) -> bool:
    if turn.priority == "background" and not claimant.background:
        return False
    conn, limit = session.conn, claimant.agents[turn.agent_id]
    if limit is not None:
        hold(conn, f"agent {turn.agent_id}")  # who counts at the same time would see the same room
        if _count(conn, turns.c.agent_id == turn.agent_id) >= limit:
            return False
    if claimant.per_owner is None:
        return True
    hold(conn, f"owner {session.owner}")
    theirs = select(sessions.c.id).where(sessions.c.owner == session.owner)
    return _count(conn, turns.c.session_id.in_(theirs)) < claimant.per_owner


def _count(conn: Connection, whose: ColumnElement[bool]) -> int:
    return conn.execute(select(func.count()).select_from(turns).where(_RUNS, whose)).scalar_one()


def _begin(session: Locked, turn: Turn, claimant: Claimant) -> tuple[Turn, Message]:
    """A waiting turn's first attempt: its message enters the history, and an empty answer follows."""
    if turn.kind == "welcome":
        told: list[Message] = []
        message = None
        answer = new_answer(session, turn, None, message_id=turn.message_id, message_type="welcome")
    else:
        message, told = _placed(session, turn, _message(session, turn))
        answer = new_answer(session, turn, turn.message_id)
    started_at = to_time(session.now)
    turn = msgspec.structs.replace(
        turn, status="in_progress", attempt=turn.attempt + 1, answer_id=answer.id, started_at=started_at
    )
    changed = [MessageEvent("changed", other.id, other) for other in told]
    row = session.append([*changed, TurnEvent(turn), MessageEvent("added", answer.id, answer)], turn.id)
    change(
        session.conn,
        turn.id,
        status=turn.status,
        attempt=turn.attempt,
        answer_id=answer.id,
        started_at=session.now,
        worker_id=claimant.worker_id,
        on_crash=claimant.on_crash.get(turn.agent_id, "incomplete"),
        epoch=session.epoch,
        start_seq=row.last_seq,
    )
    return turn, message or answer


def _message(session: Locked, turn: Turn) -> Message:
    message = messages.get(session.conn, turn.message_id)
    if message is None:
        raise MessageNotFound(message_id=turn.message_id)
    return message


def _placed(session: Locked, turn: Turn, message: Message) -> tuple[Message, list[Message]]:
    """The user's message in the history, and what readers must be told; a retried one becomes the leaf again.

    Where a retried or edited one stands was decided when it was accepted; any other follows what is the leaf now.
    """
    if turn.kind == "retry":
        told = _returning(session, message)
    elif turn.kind == "edit":
        message = msgspec.structs.replace(message, status="completed")
        messages.replace(session.conn, message)
        told = _returning(session, message)
    else:
        message = msgspec.structs.replace(message, status="completed", parent_id=session.leaf_id)
        messages.replace(session.conn, message)
        told = [message]
    session.move_leaf(message.id)
    return message, told


def _returning(session: Locked, message: Message) -> list[Message]:
    """A message beside the active branch, and what leads to it from there: who follows that one need not hold the other."""
    missing = messages.beside(session.conn, message.id, session.leaf_id)
    return messages.branch(session.conn, message.id, max(1, len(missing)))


_UNREADABLE: Final = Ending(
    status="cancelled",
    reason="corrupted",
    error=ErrorInfo(Corrupted.code, "The message is damaged and can't be answered."),
)
_QUARANTINED: Final = Ending(
    status="cancelled",
    reason="session_quarantined",
    error=ErrorInfo(SessionQuarantined.code, "Something of the session is damaged; nothing new is answered in it."),
)


def end_unreadable(conn: Connection, session_id: str, meter: Meter, why: Exception) -> Ended:
    """End the session's first turn, which could not be claimed: it could never run, and nobody after it."""
    session = lock(conn, session_id, None)
    row = unfinished(conn, session_id)[0]
    end = end_open if row.status == "in_progress" else end_queued
    ending = _QUARANTINED if isinstance(why, SessionQuarantined) else _UNREADABLE
    if isinstance(why, Corrupted):
        ending = msgspec.structs.replace(ending, damaged=place_of(why))
    return Ended(end(session, row, ending, meter), session.save())


def _take_over(session: Locked, turn_id: str, worker_id: str) -> tuple[Turn, Message, Resumed]:
    """A parked turn's next attempt: it stands in the history already, and what it answers is what its answer follows."""
    row = row_of(session.conn, session.id, turn_id)
    fold = open_fold(session.conn, row)
    told = msgspec.structs.replace(fold.turns[turn_id], model_id=row.model_id)  # not of who stood in for it
    answer = fold.message(told.answer_id or "")
    if answer is None:
        raise MessageNotFound(message_id=told.answer_id)
    message = answer if answer.parent_id is None else messages.get(session.conn, answer.parent_id)
    if message is None:
        raise MessageNotFound(message_id=answer.parent_id)
    turn = msgspec.structs.replace(told, attempt=told.attempt + 1, phase=None, detail=None)
    session.append([TurnEvent(turn)], turn_id)
    change(session.conn, turn_id, attempt=turn.attempt, worker_id=worker_id, epoch=session.epoch)
    return turn, message, Resumed(answer.parts, tuple(steps.of_turn(session.conn, turn_id)))


def new_answer(
    session: Locked, turn: Turn, parent_id: str | None, *, message_id: str | None = None, message_type: str = "message"
) -> Message:
    """An empty assistant's message, in progress, as the new leaf."""
    answer = Message(
        id=message_id or new_id("msg"),
        session_id=session.id,
        turn_id=turn.id,
        parent_id=parent_id,
        role="assistant",
        status="in_progress",
        message_type=message_type,
        agent_id=turn.agent_id,
        model_id=turn.model_id,
        created_at=to_time(session.now),
    )
    messages.put(session.conn, answer)
    session.move_leaf(answer.id)
    return answer
