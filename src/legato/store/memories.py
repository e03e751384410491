"""Memories: what is remembered of an owner, by agent. A forgotten fact leaves its digest, so that it is not drawn again.

A fact stands at the session that said it last, and goes with it. What has been deleted and waits to be erased is nobody's: the
session's owner decides, beside the fact's own.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    text,
    tuple_,
    update,
)

from legato.core.errors import BadCursor, MemoryNotFound, SessionNotFound
from legato.core.ids import new_id
from legato.core.memory import Fact, Memory, Remembered, digest
from legato.core.model import Message, Session
from legato.store import messages, scrubbing
from legato.store.dialect import hold, utc_us
from legato.store.locked import Locked, lock
from legato.store.rows import to_session, to_time
from legato.store.schema import memories, preferences, sessions
from legato.store.schema import messages as message_table
from legato.store.turns import unfinished

MOST_OF_SESSION: Final = 20
MOST_OF_AGENT: Final = 500  # of an owner and an agent
_MOST_GIVEN: Final = 200
_LOOKED_AT: Final = 200  # messages of a session
_FORGOTTEN_AT_ONCE: Final = 100  # others' turns append in between
_PLACE: Final = re.compile(r"([0-9]{1,18})\.(mem_[0-9a-z]{26})")
_PREFERENCE: Final = "memory"
_OFF: Final = "off"  # else it says since when it is on


class Material(msgspec.Struct, frozen=True):
    """What facts may be drawn from: the active branch, oldest first; nothing where memory is switched off.

    ``known_id``: up to there they were drawn before, None: none of it was; ``since``: what was said earlier is not remembered
    either, as memory was off. ``leaf_id`` is where the branch ends.
    """

    session: Session
    messages: tuple[Message, ...]
    known_id: str | None
    since: datetime
    leaf_id: str | None


def wait_s(conn: Connection, session_id: str, idle_us: int) -> float:
    """How long until facts may be drawn from a session: 0 when it is closed, or has been silent for ``idle_us``.

    Raises:
        SessionNotFound.
    """
    row = _row(conn, session_id)
    if unfinished(conn, session_id):
        return idle_us / 1_000_000
    if row.closed_at is not None:
        return 0.0
    return float(max(0, row.last_activity + idle_us - row.now)) / 1_000_000


def material(conn: Connection, session_id: str) -> Material | None:
    """What to draw from; None where nothing is new since the last time, and in quarantine.

    Raises:
        SessionNotFound, Corrupted.
    """
    row = _row(conn, session_id)
    if row.leaf_id == row.remembered_id or row.quarantined_at is not None:
        return None
    since_us = _on_since(conn, row.owner)
    branch = messages.branch(conn, row.leaf_id, _LOOKED_AT) if row.memory and since_us is not None else []
    known_id = _known_there(conn, row.remembered_id, branch)
    since = to_time(max(since_us or 0, row.memory_since or 0))
    return Material(to_session(row), tuple(branch), known_id, since, row.leaf_id)


def _known_there(conn: Connection, known_id: str | None, branch: Sequence[Message]) -> str | None:
    """Up to where facts were drawn before, on this branch: where it leaves the one on which they were, if that is another."""
    if known_id is None or any(message.id == known_id for message in branch):
        return known_id
    known = messages.branch_ids(conn, known_id)
    return next((message.id for message in reversed(branch) if message.id in known), None)


def _row(conn: Connection, session_id: str) -> Any:
    row = conn.execute(_SESSION, {"id": session_id}).first()
    if row is None or not row.owner:
        raise SessionNotFound
    return row


def keep(conn: Connection, session_id: str, facts: Sequence[Fact], upto_id: str | None) -> None:
    """Store what was drawn from the messages up to ``upto_id``, unless it was cleared or switched off meanwhile.

    Whatever became of it, nothing is drawn from these again: what was said while memory was off is not remembered later.
    A fact that is there already stands at this session from now on; its text stays, also one that was edited or forgotten.

    Raises:
        SessionNotFound: it has been deleted.
    """
    session = lock(conn, session_id, None)
    session.change(remembered_id=upto_id)
    session.save()
    alone(conn, session.owner)
    if not facts or not session.known.memory or not enabled(conn, session.owner):
        return
    there = _still_there(conn, session_id, [fact.message_id for fact in facts])
    if kept := [_values(session, fact) for fact in facts if fact.message_id in there]:
        conn.execute(_KEEP, kept)
    _limit(conn, memories.c.session_id == session_id, MOST_OF_SESSION)
    _limit(conn, _of(session.owner, session.agent_id), MOST_OF_AGENT)


def _values(session: Locked, fact: Fact) -> dict[str, object]:
    return {
        "id": new_id("mem"),
        "owner": session.owner,
        "agent_id": session.agent_id,
        "kind": fact.kind,
        "text": fact.text,
        "digest": digest(fact.kind, fact.text),
        "session_id": session.id,
        "message_id": fact.message_id,
        "now": session.now,
        "no": False,
    }


def remove_all(conn: Connection, session_id: str) -> None:
    """What came from a session goes, with the traces of what was forgotten; ``alone`` is the caller's."""
    conn.execute(delete(memories).where(memories.c.session_id == session_id))


def given(conn: Connection, session_id: str, owner: str, agent_id: str, last: int) -> tuple[Remembered, ...]:
    """What an agent is told in this session, the newest first: from it and from the ``last`` ones before it, by activity."""
    values = {"session_id": session_id, "owner": owner, "agent_id": agent_id, "last": last, "limit": _MOST_GIVEN}
    return tuple(Remembered(row.kind, row.text, to_time(row.changed_at)) for row in conn.execute(_GIVEN, values))


class Page(msgspec.Struct, frozen=True):
    """One page of a list, and the way to the next."""

    data: tuple[Memory, ...]
    next: str | None


def page(
    conn: Connection,
    owner: str,
    *,
    agent_id: str | None = None,
    kind: str | None = None,
    session_id: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page:
    """An owner's facts, the newest first.

    Raises:
        BadCursor: the cursor is not from here.
    """
    query = select(memories).where(_theirs(owner))
    filters = {memories.c.agent_id: agent_id, memories.c.kind: kind, memories.c.session_id: session_id}
    for column, value in filters.items():
        if value is not None:
            query = query.where(column == value)
    if cursor is not None:
        query = query.where(tuple_(memories.c.changed_at, memories.c.id) < tuple_(*_parse(cursor)))
    rows = conn.execute(query.order_by(memories.c.changed_at.desc(), memories.c.id.desc()).limit(limit + 1)).all()
    more = len(rows) > limit
    return Page(tuple(_to_memory(row) for row in rows[:limit]), _write(rows[limit - 1]) if more else None)


def edit(conn: Connection, memory_id: str, owner: str, fact: str) -> Memory:
    """Give a fact another text, which no drawing changes.

    Raises:
        MemoryNotFound: there is none, or it is somebody else's, or forgotten.
    """
    changed = update(memories).where(memories.c.id == memory_id, _theirs(owner))
    row = conn.execute(changed.values(text=fact, edited=True, changed_at=utc_us()).returning(memories)).first()
    if row is None:
        raise MemoryNotFound
    scrubbing.want(conn)
    return _to_memory(row)


def forget(conn: Connection, memory_id: str, owner: str) -> None:
    """Erase a fact.

    Raises:
        MemoryNotFound: there is none, or it is somebody else's, or forgotten.
    """
    if not conn.execute(_FORGET.where(memories.c.id == memory_id, _theirs(owner))).rowcount:
        raise MemoryNotFound
    scrubbing.want(conn)


def forget_some(conn: Connection, owner: str, agent_id: str | None = None, limit: int = _FORGOTTEN_AT_ONCE) -> bool:
    """Erase some facts of an owner, or of those that one agent knows; whether there may be more."""
    found = _theirs(owner) if agent_id is None else and_(_theirs(owner), memories.c.agent_id == agent_id)
    some = select(memories.c.id).where(found).limit(limit)
    alone(conn, owner)
    scrubbing.want(conn)
    return conn.execute(_FORGET.where(memories.c.id.in_(some))).rowcount == limit


def enabled(conn: Connection, owner: str) -> bool:
    """Whether anything is remembered of this owner, and given to agents."""
    return _on_since(conn, owner) is not None


def _on_since(conn: Connection, owner: str) -> int | None:
    """Since when memory is on, 0 where it was never switched; None where it is off."""
    value = conn.execute(_SWITCH, {"owner": owner}).scalar()
    return None if value == _OFF else int(value or 0)


def switch(conn: Connection, owner: str, *, on: bool) -> None:
    """Remember, or do not: what is there stays there, and is given to nobody while it is off."""
    alone(conn, owner)
    if on != enabled(conn, owner):
        now: int = conn.execute(select(utc_us())).scalar_one()
        conn.execute(delete(preferences).where(preferences.c.owner == owner, preferences.c.name == _PREFERENCE))
        conn.execute(insert(preferences).values(owner=owner, name=_PREFERENCE, value=str(now) if on else _OFF))


def alone(conn: Connection, owner: str) -> None:
    """Have an owner's facts to oneself, before several of them change: in no order, so that two could wait for each other.

    Whoever locks a session, too, does that before. Who stores facts and who switches them off must not overtake each other,
    either.
    """
    hold(conn, f"memory of {owner}")


def _still_there(conn: Connection, session_id: str, ids: Sequence[str]) -> set[str]:
    found = select(message_table.c.id).where(message_table.c.session_id == session_id, message_table.c.id.in_(ids))
    return set(conn.execute(found.where(messages.NOT_CLEARED)).scalars())


def _of(owner: str, agent_id: str) -> ColumnElement[bool]:
    return and_(memories.c.owner == owner, memories.c.agent_id == agent_id)


def _theirs(owner: str) -> ColumnElement[bool]:
    alive = exists().where(sessions.c.id == memories.c.session_id, sessions.c.owner == owner)
    return and_(memories.c.owner == owner, ~memories.c.forgotten, alive)


def _limit(conn: Connection, whose: ColumnElement[bool], most: int) -> None:
    """The oldest go; what a person has written stays. Traces of what was forgotten are counted by themselves."""
    counted = select(memories.c.forgotten, func.count().label("n")).where(whose).group_by(memories.c.forgotten)
    for row in conn.execute(counted).all():
        if row.n > most:
            going = select(memories.c.id).where(whose, memories.c.forgotten == row.forgotten, ~memories.c.edited)
            oldest = going.order_by(memories.c.changed_at, memories.c.id).limit(row.n - most)
            conn.execute(delete(memories).where(memories.c.id.in_(oldest)))
            scrubbing.want(conn)


def _to_memory(row: Any) -> Memory:
    return Memory(
        id=row.id,
        agent_id=row.agent_id,
        kind=row.kind,
        text=row.text,
        session_id=row.session_id,
        message_id=row.message_id,
        created_at=to_time(row.created_at),
        changed_at=to_time(row.changed_at),
        edited=row.edited,
    )


def _write(row: Any) -> str:
    return base64.urlsafe_b64encode(f"{row.changed_at}.{row.id}".encode()).decode()


def _parse(cursor: str) -> tuple[int, str]:
    try:
        found = _PLACE.fullmatch(base64.urlsafe_b64decode(cursor).decode())
    except (binascii.Error, ValueError) as error:
        raise BadCursor from error
    if found is None:
        raise BadCursor
    return int(found[1]), found[2]


_SESSION: Final = select(sessions, utc_us().label("now")).where(sessions.c.id == bindparam("id"))
_SWITCH: Final = select(preferences.c.value).where(
    preferences.c.owner == bindparam("owner"), preferences.c.name == _PREFERENCE
)
_FORGET: Final = update(memories).values(text="", forgotten=True, edited=False)
_KEEP: Final = text(
    "INSERT INTO memories (id, owner, agent_id, kind, text, digest, session_id, message_id, created_at, changed_at, edited,"
    " forgotten) VALUES (:id, :owner, :agent_id, :kind, :text, :digest, :session_id, :message_id, :now, :now, :no, :no)"
    " ON CONFLICT (owner, agent_id, digest) DO UPDATE SET session_id = excluded.session_id,"
    " message_id = excluded.message_id, changed_at = excluded.changed_at"
)
_BEFORE: Final = (
    select(sessions.c.id)
    .where(
        sessions.c.owner == bindparam("owner"),
        sessions.c.agent_id == bindparam("agent_id"),
        sessions.c.id != bindparam("session_id"),
        sessions.c.memory,
    )
    .order_by(sessions.c.last_activity.desc(), sessions.c.id.desc())
    .limit(bindparam("last"))
)
_GIVEN: Final = (
    select(memories.c.kind, memories.c.text, memories.c.changed_at)
    .where(
        memories.c.owner == bindparam("owner"),
        memories.c.agent_id == bindparam("agent_id"),
        ~memories.c.forgotten,
        or_(memories.c.session_id == bindparam("session_id"), memories.c.session_id.in_(_BEFORE)),
        ~exists().where(
            preferences.c.owner == bindparam("owner"),
            preferences.c.name == _PREFERENCE,
            preferences.c.value == _OFF,
        ),
    )
    .order_by(memories.c.changed_at.desc(), memories.c.id.desc())
    .limit(bindparam("limit"))
)
