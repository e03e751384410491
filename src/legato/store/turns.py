"""Turns: accept one, claim the next, look one up."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, and_, exists, insert, select, update

from legato.core.errors import (
    Corrupted,
    MessageIdReused,
    MessageNotFound,
    QueueFull,
    SessionClosed,
    TurnInProgress,
    TurnNotFinished,
)
from legato.core.events import MessageEvent, TurnEvent
from legato.core.ids import new_id
from legato.core.model import ErrorInfo, Message, Mode, Part, Session, Turn, TurnKind
from legato.core.states import is_terminal
from legato.store import messages
from legato.store.ending import Ended, Ending, Meter, end_bereft, end_open, end_queued, row_of
from legato.store.locked import Locked, lock
from legato.store.port import Row
from legato.store.rows import to_time, to_turn, to_us
from legato.store.schema import sends, sessions, turns


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks to be answered. ``body_hash`` tells a repeat from another message with the same id."""

    session_id: str
    owner: str
    client_message_id: str
    body_hash: str
    parts: tuple[Part, ...] = ()
    message_type: str = "message"
    kind: TurnKind = "send"
    mode: Mode = "queue"
    source_turn_id: str | None = None
    model_id: str | None = None
    locale: str | None = None
    queue_limit: int = 100


class Accepted(msgspec.Struct, frozen=True):
    """The turn, the seq right before its first event, whether this call made it, and which running one it ended."""

    turn: Turn
    cursor_seq: int
    fresh: bool
    rows: tuple[Row, ...] = ()
    ended_turn_id: str | None = None


def accept(conn: Connection, send: Send, meter: Meter) -> Accepted:
    """Take a message and its turn into the session, once for each client message id.

    Raises:
        SessionNotFound, SessionClosed, MessageIdReused, QueueFull, TurnInProgress,
        TurnNotFound, TurnNotFinished, MessageNotFound: the turn to continue or retry is not there or not over.
    """
    session = lock(conn, send.session_id, send.owner)
    if (repeat := repeated(conn, send)) is not None:
        return repeat
    _admit(session, send)
    start = session.head
    ended = _make_way(session, send, meter) if send.mode in ("interrupt", "rollback") else None
    turn = _turn(session, send)
    if send.kind != "retry":
        _add_message(session, send, turn)
    conn.execute(insert(turns).values(**_values(turn), locale=send.locale))
    _remember(conn, send, turn, start)
    session.append([TurnEvent(turn)], turn.id)
    session.touch()
    return Accepted(turn, start, fresh=True, rows=session.save(), ended_turn_id=ended)


def repeated(conn: Connection, send: Send) -> Accepted | None:
    """What the same send was answered with before. Raises MessageIdReused: it had another body."""
    key = (sends.c.session_id == send.session_id) & (sends.c.client_message_id == send.client_message_id)
    sent = conn.execute(select(sends).where(key)).first()
    if sent is None:
        return None
    if sent.body_hash != send.body_hash:
        raise MessageIdReused(message_id=send.client_message_id)
    return Accepted(to_turn(row_of(conn, send.session_id, sent.turn_id)), sent.cursor_seq, fresh=False)


def _admit(session: Locked, send: Send) -> None:
    if session.closed:
        raise SessionClosed
    waiting = unfinished(session.conn, session.id)
    if send.mode == "reject" and waiting:
        raise TurnInProgress(turn_id=waiting[0].id)
    if sum(turn.status == "queued" for turn in waiting) >= send.queue_limit:
        raise QueueFull(limit=send.queue_limit)


def _make_way(session: Locked, send: Send, meter: Meter) -> str | None:
    running = open_turn(session.conn, session.id)
    if running is None:
        return None
    rollback = send.mode == "rollback"
    ending = Ending(status="cancelled", reason="rolled_back" if rollback else "interrupted", remove=rollback)
    end_open(session, running, ending, meter)
    if rollback:
        end_bereft(session, ending, meter)
    return str(running.id)


def _turn(session: Locked, send: Send) -> Turn:
    source = _source(session, send)
    # Lower ranks run first: the order of acceptance, and who interrupts comes before all who wait.
    ahead = send.mode in ("interrupt", "rollback")
    return Turn(
        id=new_id("trn"),
        session_id=session.id,
        message_id=source.message_id if source is not None and send.kind == "retry" else new_id("msg"),
        agent_id=session.agent_id,
        model_id=send.model_id or session.model_id,
        source_turn_id=source.id if source else None,
        status="queued",
        kind=send.kind,
        mode=send.mode,
        rank=-(session.head + 1) if ahead else session.head + 1,
        created_at=to_time(session.now),
    )


def _source(session: Locked, send: Send) -> Turn | None:
    if send.source_turn_id is None:
        return None
    source = to_turn(row_of(session.conn, session.id, send.source_turn_id))
    if not is_terminal(source.status):
        raise TurnNotFinished(turn_id=source.id)
    if send.kind == "retry" and messages.get(session.conn, source.message_id) is None:
        raise MessageNotFound("the message of that turn is gone", message_id=source.message_id)
    return source


def _add_message(session: Locked, send: Send, turn: Turn) -> None:
    message = Message(
        id=turn.message_id,
        session_id=session.id,
        turn_id=turn.id,
        role="user",
        status="queued",
        message_type=send.message_type,
        parts=send.parts,
        client_message_id=send.client_message_id,
        created_at=turn.created_at,
    )
    messages.put(session.conn, message)
    session.append([MessageEvent("added", message.id, message)], turn.id)


def _remember(conn: Connection, send: Send, turn: Turn, cursor_seq: int) -> None:
    conn.execute(
        insert(sends).values(
            session_id=send.session_id,
            client_message_id=send.client_message_id,
            body_hash=send.body_hash,
            turn_id=turn.id,
            cursor_seq=cursor_seq,
        )
    )


def _values(turn: Turn) -> dict[str, object]:
    names = (
        "id",
        "session_id",
        "message_id",
        "agent_id",
        "model_id",
        "source_turn_id",
        "status",
        "kind",
        "mode",
        "rank",
    )
    values: dict[str, object] = {name: getattr(turn, name) for name in names}
    return values | {"attempt": turn.attempt, "compacted": False, "created_at": to_us(turn.created_at)}


class Claimed(msgspec.Struct, frozen=True):
    """A turn that this worker owns while ``epoch`` is its session's."""

    turn: Turn
    session: Session
    message: Message
    epoch: int
    locale: str | None
    rows: tuple[Row, ...]


def claimable(conn: Connection, agents: Sequence[str], limit: int) -> list[str]:
    """Sessions where a turn of one of these agents waits and none runs."""
    other = turns.alias()
    running = exists().where(and_(other.c.session_id == turns.c.session_id, other.c.status == "in_progress"))
    found = select(turns.c.session_id).where(turns.c.status == "queued", turns.c.agent_id.in_(agents), ~running)
    return list(conn.execute(found.distinct().limit(limit)).scalars())


def claim(conn: Connection, session_id: str, worker_id: str, agents: Sequence[str]) -> Claimed | None:
    """Make the session's first waiting turn run under a new epoch; None when one runs already or none may.

    Raises:
        SessionNotFound: it has been deleted; Corrupted, MessageNotFound: what it would answer is damaged or gone.
    """
    session = lock(conn, session_id, None)
    waiting = unfinished(conn, session_id)
    if not waiting or waiting[0].status == "in_progress" or waiting[0].agent_id not in agents:
        return None
    row = waiting[0]
    epoch = session.raise_epoch()
    message = _place(session, to_turn(row))
    turn = _start(session, to_turn(row), worker_id)
    return Claimed(turn, session.session(), message, epoch, row.locale, session.save())


_UNREADABLE: Final = Ending(
    status="cancelled",
    reason="corrupted",
    error=ErrorInfo(Corrupted.code, "The message is damaged and can't be answered."),
)


def end_unreadable(conn: Connection, session_id: str) -> Ended:
    """End the session's first waiting turn, which could not be claimed: it could never run, and nobody after it."""
    session = lock(conn, session_id, None)
    return Ended(end_queued(session, unfinished(conn, session_id)[0], _UNREADABLE), session.save())


def _place(session: Locked, turn: Turn) -> Message:
    """The user's message enters the history; a retried one stands there already and becomes the leaf again."""
    message = messages.get(session.conn, turn.message_id)
    if message is None:
        raise MessageNotFound(message_id=turn.message_id)
    if turn.kind != "retry":
        message = msgspec.structs.replace(message, status="completed", parent_id=session.leaf_id)
        messages.replace(session.conn, message)
    told = [message] if turn.kind != "retry" else _returning(session, message)
    session.append([MessageEvent("changed", other.id, other) for other in told], turn.id)
    session.move_leaf(message.id)
    return message


def _returning(session: Locked, message: Message) -> list[Message]:
    """A retried message, and what leads to it from the active branch: who follows that one need not hold the other."""
    held = messages.branch_ids(session.conn, session.leaf_id) - {message.id}
    missing = messages.branch_ids(session.conn, message.id) - held
    return messages.branch(session.conn, message.id, len(missing))


def _start(session: Locked, turn: Turn, worker_id: str) -> Turn:
    answer = new_answer(session, turn, turn.message_id)
    turn = msgspec.structs.replace(
        turn,
        status="in_progress",
        attempt=turn.attempt + 1,
        answer_id=answer.id,
        started_at=to_time(session.now),
    )
    row = session.append([TurnEvent(turn), MessageEvent("added", answer.id, answer)], turn.id)
    change(
        session.conn,
        turn.id,
        status=turn.status,
        attempt=turn.attempt,
        answer_id=answer.id,
        started_at=session.now,
        worker_id=worker_id,
        epoch=session.epoch,
        start_seq=row.last_seq,
    )
    return turn


def new_answer(session: Locked, turn: Turn, parent_id: str) -> Message:
    """An empty assistant's message, in progress, as the new leaf."""
    answer = Message(
        id=new_id("msg"),
        session_id=session.id,
        turn_id=turn.id,
        parent_id=parent_id,
        role="assistant",
        status="in_progress",
        agent_id=turn.agent_id,
        model_id=turn.model_id,
        created_at=to_time(session.now),
    )
    messages.put(session.conn, answer)
    session.move_leaf(answer.id)
    return answer


def change(conn: Connection, turn_id: str, **values: object) -> None:
    conn.execute(update(turns).where(turns.c.id == turn_id).values(**values))


def open_turn(conn: Connection, session_id: str) -> Any:
    """The row of the running turn, or None."""
    return conn.execute(select(turns).where(turns.c.session_id == session_id, turns.c.status == "in_progress")).first()


def unfinished(conn: Connection, session_id: str) -> Sequence[Any]:
    """Rows of the running turn and the waiting ones, in the order they run."""
    return conn.execute(
        select(turns)
        .where(turns.c.session_id == session_id, turns.c.status.in_(("in_progress", "queued")))
        .order_by(turns.c.status, turns.c.rank)
    ).all()


def live(conn: Connection, worker_id: str) -> set[tuple[str, int]]:
    """The ``(turn, epoch)`` pairs that this worker still owns."""
    found = (
        select(turns.c.id, turns.c.epoch)
        .join(sessions, sessions.c.id == turns.c.session_id)
        .where(turns.c.worker_id == worker_id, turns.c.status == "in_progress", turns.c.epoch == sessions.c.epoch)
    )
    return {(row.id, row.epoch) for row in conn.execute(found)}
