"""Pinning messages: what is pinned never falls out of the prompt (promise C-03)."""

from typing import Final

import msgspec
from sqlalchemy import Connection, bindparam, func, select

from legato.core.errors import Invalid, MessageNotFound, SessionQuarantined, TurnNotFinished
from legato.core.events import MessageEvent
from legato.core.model import Message, Session
from legato.store import messages
from legato.store.locked import lock, readable
from legato.store.port import Row
from legato.store.rows import to_session
from legato.store.schema import messages as table
from legato.store.turns import unfinished

MOST: Final = 50  # of a session


class Pinned(msgspec.Struct, frozen=True):
    """The message as it is now, and what was appended."""

    message: Message
    rows: tuple[Row, ...] = ()


class Held(msgspec.Struct, frozen=True):
    """A session, and what is pinned in it."""

    session: Session
    messages: tuple[Message, ...]


def pin(conn: Connection, session_id: str, owner: str, message_id: str, *, pinned: bool) -> Pinned:
    """Pin a message, or take its pin away.

    Raises:
        SessionNotFound, SessionQuarantined, MessageNotFound; TurnNotFinished: the turn that brought it waits or runs; Invalid:
        too many are pinned.
    """
    session = lock(conn, session_id, owner)
    if session.quarantined:
        raise SessionQuarantined
    message = _readable(conn, session_id, message_id)
    if message.pinned == pinned:
        return Pinned(message)
    if message.turn_id in {row.id for row in unfinished(conn, session_id)}:
        raise TurnNotFinished("A message can be pinned when its turn is over.", turn_id=message.turn_id)
    if pinned and conn.execute(_COUNT, {"session_id": session_id}).scalar_one() >= MOST:
        raise Invalid(f"At most {MOST} messages of a session can be pinned.")
    message = msgspec.structs.replace(message, pinned=pinned)
    messages.mark_pinned(conn, message_id, pinned=pinned)
    session.append([MessageEvent("changed", message_id, message)])
    return Pinned(message, session.save())


def with_one_more(conn: Connection, session_id: str, owner: str, message_id: str) -> Held:
    """What is pinned, and this message beside it.

    Raises:
        SessionNotFound, SessionQuarantined, MessageNotFound.
    """
    row = readable(conn, session_id, owner)
    if row.quarantined_at is not None:
        raise SessionQuarantined
    ids = {*conn.execute(_PINNED, {"session_id": session_id}).scalars(), message_id}
    _readable(conn, session_id, message_id)
    return Held(to_session(row), tuple(messages.by_ids(conn, list(ids)).values()))


def any_of(conn: Connection, ids: set[str]) -> bool:
    """Whether one of these is pinned."""
    found = select(table.c.id).where(table.c.id.in_(bindparam("ids", expanding=True)), table.c.pinned).limit(1)
    return conn.execute(found, {"ids": list(ids)}).first() is not None


def _readable(conn: Connection, session_id: str, message_id: str) -> Message:
    message = messages.get(conn, message_id)
    if message is None or message.session_id != session_id:
        raise MessageNotFound(message_id=message_id)
    return message


_PINNED: Final = select(table.c.id).where(
    table.c.session_id == bindparam("session_id"), table.c.pinned, messages.NOT_CLEARED
)
_COUNT: Final = select(func.count()).where(
    table.c.session_id == bindparam("session_id"), table.c.pinned, messages.NOT_CLEARED
)
