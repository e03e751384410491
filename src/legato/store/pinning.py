"""Pinning messages: what is pinned never falls out of the prompt (promise C-03)."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, bindparam, select

from legato.core.errors import Invalid, MessageNotFound, SessionQuarantined, TurnNotFinished
from legato.core.events import MessageEvent
from legato.core.model import Message, Session
from legato.core.prompt import MOST_PINNED
from legato.store import messages
from legato.store.locked import lock
from legato.store.port import Row
from legato.store.schema import messages as table
from legato.store.turns import unfinished


class Pinned(msgspec.Struct, frozen=True):
    """The message as it is now, and what was appended."""

    message: Message
    rows: tuple[Row, ...] = ()


#: Raises what makes these messages too much to be pinned in a session. It looks at nothing but its arguments.
Check = Callable[[Session, Sequence[Message]], None]


def pin(
    conn: Connection,
    session_id: str,
    owner: str,
    message_id: str,
    *,
    pinned: bool,
    check: Check = lambda session, messages: None,
) -> Pinned:
    """Pin a message, or take its pin away; ``check`` is given all that is pinned then, with the questions of answers.

    Raises:
        SessionNotFound, SessionQuarantined, MessageNotFound; TurnNotFinished: the turn that brought it waits or runs; Invalid:
        too many are pinned; and what ``check`` raises.
    """
    session = lock(conn, session_id, owner)
    if session.quarantined:
        raise SessionQuarantined
    message = _readable(conn, session_id, message_id)
    if message.pinned == pinned:
        return Pinned(message)
    if message.turn_id in {row.id for row in unfinished(conn, session_id)}:
        raise TurnNotFinished("A message can be pinned when its turn is over.", turn_id=message.turn_id)
    if pinned:
        ids = list(conn.execute(_PINNED, {"session_id": session_id}).scalars())
        if len(ids) >= MOST_PINNED:
            raise Invalid(f"At most {MOST_PINNED} messages of a session can be pinned.")
        check(session.known, _with_questions(conn, [*ids, message_id]))
    message = msgspec.structs.replace(message, pinned=pinned)
    messages.mark_pinned(conn, message_id, pinned=pinned)
    session.append([MessageEvent("changed", message_id, message)])
    return Pinned(message, session.save())


def _with_questions(conn: Connection, ids: Sequence[str]) -> list[Message]:
    held = messages.by_ids(conn, ids)
    asked = {each.parent_id for each in held.values() if each.role == "assistant" and each.parent_id} - held.keys()
    return [*held.values(), *messages.by_ids(conn, list(asked)).values()]


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
