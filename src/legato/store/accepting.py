"""Accepting: a message and its turn enter the session, once for each client message id."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, insert, select

from legato.core.errors import (
    Conflict,
    Corrupted,
    Invalid,
    MessageIdReused,
    MessageNotFound,
    QueueFull,
    SessionClosed,
    SessionQuarantined,
    TurnInProgress,
    TurnNotFinished,
)
from legato.core.events import Event, MessageEvent, TurnEvent
from legato.core.ids import new_id
from legato.core.model import Message, Mode, Part, Priority, Session, Turn, TurnKind
from legato.core.states import is_terminal
from legato.store import attaching, messages, turns
from legato.store.claiming import Claimant, Claimed, take
from legato.store.ending import Ending, Meter, end_bereft, end_open, row_of
from legato.store.locked import Locked, lock
from legato.store.port import Row
from legato.store.rows import to_time, to_turn
from legato.store.schema import sends
from legato.store.turns import open_turn, unfinished


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks to be answered. ``body_hash`` tells a repeat from another message with the same id.

    ``edits``, with kind ``edit``: the user's message beside which this one goes. ``keeps_files``: it has the files of that one,
    before its own parts.
    """

    session_id: str
    owner: str
    client_message_id: str
    body_hash: str
    parts: tuple[Part, ...] = ()
    message_type: str = "message"
    kind: TurnKind = "send"
    mode: Mode = "queue"
    priority: Priority = "interactive"
    source_turn_id: str | None = None
    edits: str | None = None
    keeps_files: bool = False
    model_id: str | None = None
    locale: str | None = None
    queue_limit: int = 100


class Accepted(msgspec.Struct, frozen=True):
    """The turn as it was accepted, the seq right before its first event, and whether this call made it.

    ``ended_turn_id`` is the running turn that it ended, ``claimed`` itself where it could run at once.
    """

    turn: Turn
    cursor_seq: int
    fresh: bool
    rows: tuple[Row, ...] = ()
    ended_turn_id: str | None = None
    claimed: Claimed | None = None


#: Raises what makes a send unacceptable for its session; a repeat of what was accepted before is not asked.
Check = Callable[[Session, Send], None]


def accept(
    conn: Connection,
    send: Send,
    meter: Meter,
    claimant: Claimant | None = None,
    check: Check = lambda session, send: None,
) -> Accepted:
    """Take a message and its turn into the session, once for each client message id; claim it too where nothing is before it.

    Raises:
        SessionNotFound, SessionClosed, SessionQuarantined, MessageIdReused, QueueFull, TurnInProgress,
        TurnNotFound, TurnNotFinished, MessageNotFound: the turn to continue or retry is not there or not over;
        Conflict: the conversation has gone on since the answer that is to be continued;
        MessageNotFound, Invalid, Conflict: the message to edit is not there, nobody's question, or waits;
        FileNotFound: a file of its parts is not there, or not the sender's;
        and what ``check`` raises.
    """
    session = lock(conn, send.session_id, send.owner)
    if (repeat := repeated(conn, send)) is not None:
        return repeat
    send = msgspec.structs.replace(send, parts=_looked_up(conn, send))
    check(session.known, _as_asked(session, send))
    waiting = _admit(session, send)
    edited = _edited(session, send)  # before anything makes way: it may be what is answered now
    send = msgspec.structs.replace(send, parts=attaching.spare(conn, send.parts))
    start = session.head
    ahead = send.mode in ("interrupt", "rollback")
    ended = _make_way(session, send, meter) if ahead and waiting else None
    turn = _turn(session, send, edited, waiting)
    message = _message(session, send, turn, _beside(session, edited)) if turn.brings_message else None
    locale = send.locale or turns.locale_of(conn, turn.source_turn_id)
    turns.put(conn, turn, locale)
    _remember(conn, send, turn, start)
    told: list[Event] = [MessageEvent("added", message.id, message)] if message else []
    session.append([*told, TurnEvent(turn)], turn.id)
    session.touch()
    first = ahead or not waiting
    claimed = take(session, turn, locale, claimant) if claimant is not None and first else None
    return Accepted(turn, start, fresh=True, rows=session.save(), ended_turn_id=ended, claimed=claimed)


def repeated(conn: Connection, send: Send) -> Accepted | None:
    """What the same send was answered with before. Raises MessageIdReused: it had another body."""
    key = {"session_id": send.session_id, "client_message_id": send.client_message_id}
    sent = conn.execute(_SENT, key).first()
    if sent is None:
        return None
    if sent.body_hash != send.body_hash:
        raise MessageIdReused(message_id=send.client_message_id)
    return Accepted(to_turn(row_of(conn, send.session_id, sent.turn_id)), sent.cursor_seq, fresh=False)


def _admit(session: Locked, send: Send) -> Sequence[Any]:
    """What is unfinished in the session; raises where the send may not join it."""
    if session.closed:
        raise SessionClosed
    if session.quarantined:
        raise SessionQuarantined
    waiting = unfinished(session.conn, session.id)
    if send.mode == "reject" and waiting:
        raise TurnInProgress(turn_id=waiting[0].id)
    if sum(turn.status == "queued" for turn in waiting) >= send.queue_limit:
        raise QueueFull(limit=send.queue_limit)
    return waiting


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


def _as_asked(session: Locked, send: Send) -> Send:
    """With what the message says that another model is to answer now."""
    if send.kind != "retry" or send.model_id is None:
        return send
    source = row_of(session.conn, session.id, send.source_turn_id or "")
    asked = messages.get(session.conn, source.message_id)
    return send if asked is None else msgspec.structs.replace(send, parts=asked.parts)


def _looked_up(conn: Connection, send: Send) -> tuple[Part, ...]:
    """The parts with what is known of their files, after the files that stay. Raises FileNotFound."""
    kept = attaching.left_of(conn, send.owner, _parts_of_edited(conn, send)) if send.keeps_files else ()
    return (*kept, *attaching.looked_up(conn, send.owner, send.parts))


def _parts_of_edited(conn: Connection, send: Send) -> tuple[Part, ...]:
    """None where it can't be edited, or not be read: the former is refused later, for what it is."""
    if send.edits is None:
        return ()
    try:
        message = messages.get(conn, send.edits)
    except Corrupted:
        return ()
    return message.parts if message is not None and message.session_id == send.session_id else ()


def _edited(session: Locked, send: Send) -> Any:
    """Where the message stands that is edited; its words need not be readable any more."""
    if send.edits is None:
        return None
    row = messages.place(session.conn, session.id, send.edits)
    if row is None:
        raise MessageNotFound(message_id=send.edits)
    if row.role != "user":
        raise Invalid("Only what a person said can be edited.", message_id=row.id)
    if row.status == "queued":
        raise Conflict("This message still waits: change its turn.", message_id=row.id, turn_id=row.turn_id)
    return row


def _beside(session: Locked, edited: Any) -> str | None:
    """The parent of a message that goes beside an edited one."""
    parent_id: str | None = None if edited is None else edited.parent_id
    if parent_id is None or messages.place(session.conn, session.id, parent_id) is not None:
        return parent_id
    return session.leaf_id  # a rollback has just taken it away: what stood before that turn


def _turn(session: Locked, send: Send, edited: Any, waiting: Sequence[Any]) -> Turn:
    source = _source(session, send, waiting)
    kind, message_id = _kind_and_message(send, source)
    # Lower ranks run first: the order of acceptance, and who interrupts comes before all who wait.
    ahead = send.mode in ("interrupt", "rollback")
    return Turn(
        id=new_id("trn"),
        session_id=session.id,
        message_id=message_id,
        agent_id=session.agent_id,
        model_id=source.model_id if source and kind == "welcome" else send.model_id or session.model_id,
        source_turn_id=source.id if source else edited.turn_id if edited else None,
        status="queued",
        kind=kind,
        mode=send.mode,
        priority=send.priority,
        rank=-(session.head + 1) if ahead else session.head + 1,
        created_at=to_time(session.now),
    )


def _kind_and_message(send: Send, source: Turn | None) -> tuple[TurnKind, str]:
    """A retry answers its source's message; that of a welcome, which answers none, is another welcome."""
    if source is None or send.kind != "retry":
        return send.kind, new_id("msg")
    return ("welcome", new_id("msg")) if source.kind == "welcome" else ("retry", source.message_id)


def _source(session: Locked, send: Send, waiting: Sequence[Any]) -> Turn | None:
    if send.source_turn_id is None:
        return None
    source = to_turn(row_of(session.conn, session.id, send.source_turn_id))
    if not is_terminal(source.status):
        raise TurnNotFinished(turn_id=source.id)
    if send.kind == "retry" and source.kind != "welcome" and messages.get(session.conn, source.message_id) is None:
        raise MessageNotFound("the message of that turn is gone", message_id=source.message_id)
    if send.kind == "continue" and (waiting or not _said_last(session, source)):
        raise Conflict("The conversation has gone on since that answer: only its last one can be continued.")
    return source


def _said_last(session: Locked, turn: Turn) -> bool:
    """Whether the active branch ends with an answer of this turn."""
    last = None if session.leaf_id is None else messages.place(session.conn, session.id, session.leaf_id)
    return last is not None and last.role == "assistant" and last.turn_id == turn.id


def _message(session: Locked, send: Send, turn: Turn, parent_id: str | None) -> Message:
    message = Message(
        id=turn.message_id,
        session_id=session.id,
        turn_id=turn.id,
        parent_id=parent_id,
        role="user",
        status="queued",
        message_type=send.message_type,
        parts=send.parts,
        client_message_id=send.client_message_id,
        created_at=turn.created_at,
    )
    messages.put(session.conn, message)
    attaching.attach(session.conn, session.id, message.id, message.parts)
    return message


def _remember(conn: Connection, send: Send, turn: Turn, cursor_seq: int) -> None:
    values = {
        "session_id": send.session_id,
        "client_message_id": send.client_message_id,
        "body_hash": send.body_hash,
        "turn_id": turn.id,
        "cursor_seq": cursor_seq,
    }
    conn.execute(_REMEMBER, values)


_REMEMBER: Final = insert(sends)


_SENT: Final = select(sends).where(
    sends.c.session_id == bindparam("session_id"), sends.c.client_message_id == bindparam("client_message_id")
)
