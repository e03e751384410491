"""How a session comes in from a file: out of reach until it is whole, in slices that no token waits for.

It belongs to nobody while its messages enter. A chore ``erase`` is laid out for it at the beginning, due
long after: should whoever imports it die on the way, what there is of it goes like a deleted session. Its last transaction
gives it to its owner, and takes the chore back.
"""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from legato.core.errors import Conflict, SessionExists
from legato.core.events import Event, SessionEvent, encode_lines
from legato.core.model import ErrorInfo, Gauge, Message, Session, Turn
from legato.store import attaching, chores, messages, search
from legato.store.attaching import Carried
from legato.store.dialect import locked, utc_us
from legato.store.journal import insert_row
from legato.store.port import Row
from legato.store.rows import to_json, to_time, to_us
from legato.store.schema import NOBODY, sessions, turns
from legato.store.schema import chores as chore_table

#: After it, what was left half done is erased.
ABANDONED_US: Final = 24 * 3_600_000_000


class Entry(msgspec.Struct, frozen=True):
    """One row of the journal with what it tells of: a turn, its messages, their files. ``payload`` has ``count`` lines."""

    turn: Turn | None
    messages: tuple[Message, ...]
    count: int
    payload: bytes
    files: tuple[Carried, ...] = ()


class Last(msgspec.Struct, frozen=True):
    """What a session comes in with when its turns are there: its leaf, what brings readers to it, and the gauge they know."""

    leaf_id: str | None = None
    told: tuple[Event, ...] = ()
    gauge: Gauge | None = None


class Taken(msgspec.Struct, frozen=True):
    """How far the journal goes now, and how long the writer was kept."""

    head: int
    took_s: float


class Given(msgspec.Struct, frozen=True):
    """What the last transaction appended. ``context_dropped``: another session of the owner's has its context."""

    rows: tuple[Row, ...]
    context_dropped: bool = False


def now(conn: Connection) -> datetime:
    return to_time(conn.execute(select(utc_us())).scalar_one())


def known(conn: Connection, owner: str, origin: str) -> str | None:
    """The session of this owner's that was imported from there before."""
    return conn.execute(_KNOWN, {"owner": owner, "origin": origin}).scalar()


def taken(conn: Connection, owner: str, agent_id: str, context: str) -> bool:
    """Whether a session of this owner's with this agent has the context already."""
    return conn.execute(_TAKEN, {"owner": owner, "agent_id": agent_id, "context": context}).scalar() is not None


def begin(conn: Connection, session: Session) -> int:
    """Lay out a session that nobody can reach yet; the head of its journal.

    Raises:
        SessionExists: the id is taken.
    """
    now: int = conn.execute(select(utc_us())).scalar_one()
    payload = encode_lines([SessionEvent(session)])
    values = session_columns(session) | {
        "owner": NOBODY,
        "former_owner": session.owner,
        "context": None,
        "head": 1,
        "epoch": 0,
    }
    try:
        conn.execute(insert(sessions), values)
    except IntegrityError as error:
        raise SessionExists from error
    insert_row(conn, Row(session.id, 1, 1, payload), None)
    chores.ask(conn, session.id, "erase", now + ABANDONED_US)
    return 1


def add(conn: Connection, session_id: str, head: int, entries: Sequence[Entry]) -> Taken:
    """Append entries to a session that ``begin`` has laid out, and that nobody else writes to."""
    began_s = time.perf_counter()
    for entry in entries:
        row = Row(session_id, head + 1, head + entry.count, entry.payload)
        head = row.last_seq
        insert_row(conn, row, entry.turn.id if entry.turn else None)
        for message in entry.messages:
            messages.put(conn, message)
        attaching.take_over(conn, session_id, entry.files)
        if entry.turn is not None:
            conn.execute(_TURN, turn_columns(entry.turn, head))
    conn.execute(_MOVE, {"session_id": session_id, "moved": head})
    return Taken(head, time.perf_counter() - began_s)


def give(conn: Connection, session: Session, head: int, last: Last, origin: str | None) -> Given | None:
    """Let its owner have the session; None when the owner has it from there already, by another import at the same time.

    Raises:
        Conflict: it took so long that its erasure has begun.
    """
    _refuse_what_is_erased(conn, session.id)
    dropped = session.context is not None and taken(conn, session.owner, session.agent_id, session.context)
    try:
        with conn.begin_nested():
            return _give(conn, _without_context(session) if dropped else session, head, last, origin, dropped)
    except IntegrityError:  # somebody was faster, between the look and the step
        if session.context is None or (origin is not None and known(conn, session.owner, origin) is not None):
            return None
        return _give(conn, _without_context(session), head, last, origin, dropped=True)


def _give(
    conn: Connection,
    session: Session,
    head: int,
    last: Last,
    origin: str | None,
    dropped: bool,
) -> Given:
    events = [*last.told, SessionEvent(session)]
    row = Row(session.id, head + 1, head + len(events), encode_lines(events))
    insert_row(conn, row, None)
    search.note_title(conn, session.id, session.owner, session.title)
    values = {
        "owner": session.owner,
        "former_owner": None,
        "context": session.context,
        "imported_from": origin,
        "leaf_id": last.leaf_id,
        "gauge": to_json(last.gauge) if last.gauge else None,
        # What a fork has taken over is the other session's to remember.
        "remembered_id": last.leaf_id if session.forked_from is not None else None,
    }
    conn.execute(
        update(sessions)
        .where(sessions.c.id == session.id, sessions.c.owner == NOBODY)
        .values(**values, head=row.last_seq)
    )
    conn.execute(delete(chore_table).where(chore_table.c.session_id == session.id))
    return Given((row,), dropped)


def _refuse_what_is_erased(conn: Connection, session_id: str) -> None:
    """Lock the session, as its erasure does. Somebody's name on the chore: something may be missing already."""
    there = conn.execute(_NOBODYS_LOCKED, {"session_id": session_id}).first() is not None
    if not there or conn.execute(_UNTAKEN, {"session_id": session_id}).first() is None:
        raise Conflict(
            "The session took too long to come in, and what there was of it is being erased. Import it again."
        )


def abandon(conn: Connection, session_id: str) -> None:
    """Have it erased now: it will not be finished."""
    if conn.execute(_NOBODYS, {"session_id": session_id}).scalar() is not None:
        chores.ask(conn, session_id, "erase")


def _without_context(session: Session) -> Session:
    return msgspec.structs.replace(session, context=None)


def session_columns(session: Session) -> dict[str, Any]:
    return {
        "id": session.id,
        "agent_id": session.agent_id,
        "agent_name": session.agent_name,
        "parent_role": session.parent_role,
        "model_id": session.model_id,
        "title": session.title,
        "title_source": session.title_source,
        "created_at": to_us(session.created_at),
        "last_activity": to_us(session.last_activity),
        "closed_at": to_us(session.closed_at) if session.closed_at else None,
        "archived_at": to_us(session.archived_at) if session.archived_at else None,
        "pinned": session.pinned,
        "keep": session.keep,
        "memory": session.memory,
        "forked_from": session.forked_from.session_id if session.forked_from else None,
        "forked_message_id": session.forked_from.message_id if session.forked_from else None,
        "metadata": to_json(session.metadata),
    }


def turn_columns(turn: Turn, done_seq: int) -> dict[str, Any]:
    """A turn that is over. It is compacted: no token of it was ever in this journal."""
    usage = turn.usage
    return {
        "id": turn.id,
        "session_id": turn.session_id,
        "message_id": turn.message_id,
        "answer_id": turn.answer_id,
        "source_turn_id": turn.source_turn_id,
        "agent_id": turn.agent_id,
        "model_id": turn.model_id,
        "kind": turn.kind,
        "mode": turn.mode,
        "priority": turn.priority,
        "rank": turn.rank,
        "status": turn.status,
        "attempt": turn.attempt,
        "done_seq": done_seq,
        "created_at": to_us(turn.created_at),
        "started_at": to_us(turn.started_at) if turn.started_at else None,
        "finished_at": to_us(turn.finished_at) if turn.finished_at else None,
        "compacted": True,
        "context": to_json(turn.context) if turn.context else None,
        "prompt_tokens": usage.prompt_tokens if usage else None,
        "completion_tokens": usage.completion_tokens if usage else None,
        "cached_tokens": usage.cached_tokens if usage else None,
        "cost_usd": usage.cost_usd if usage else None,
        "estimated": usage.estimated if usage else None,
        "reason": turn.reason,
        "explanation": turn.text,
        **_error(turn.error),
    }


def _error(error: ErrorInfo | None) -> dict[str, str | None]:
    return {"error_code": error.code if error else None, "error_message": error.message if error else None}


_KNOWN: Final = select(sessions.c.id).where(
    sessions.c.owner == bindparam("owner"), sessions.c.imported_from == bindparam("origin")
)
_TAKEN: Final = select(sessions.c.id).where(
    sessions.c.owner == bindparam("owner"),
    sessions.c.agent_id == bindparam("agent_id"),
    sessions.c.context == bindparam("context"),
)
_NOBODYS: Final = select(sessions.c.id).where(sessions.c.id == bindparam("session_id"), sessions.c.owner == NOBODY)
_NOBODYS_LOCKED: Final = locked(_NOBODYS)
_UNTAKEN: Final = locked(
    select(chore_table.c.version).where(
        chore_table.c.session_id == bindparam("session_id"),
        chore_table.c.kind == "erase",
        chore_table.c.worker_id.is_(None),
    )
)
_MOVE: Final = update(sessions).where(sessions.c.id == bindparam("session_id")).values(head=bindparam("moved"))
_TURN: Final = insert(turns)
