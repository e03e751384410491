"""Welcomes: a session's first turn, accepted with the session itself, in which the agent speaks before anybody has asked.

It brings no message. Its ``message_id`` is that of the answer it will have, a message of the type ``welcome`` at the root of
the history; a retry of it is another welcome, at the root beside it.
"""

import msgspec

from legato.core.events import TurnEvent
from legato.core.ids import new_id
from legato.core.model import Turn
from legato.store import turns
from legato.store.locked import Locked
from legato.store.rows import to_time


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a session is opened. ``model_id``: None where no model is asked; ``locale``: the language of who begins."""

    model_id: str | None = None
    locale: str | None = None


def accept(session: Locked, welcome: Welcome) -> Turn:
    """The session's first turn, which waits to be claimed like any other."""
    turn = Turn(
        id=new_id("trn"),
        session_id=session.id,
        message_id=new_id("msg"),
        agent_id=session.agent_id,
        model_id=welcome.model_id,
        status="queued",
        kind="welcome",
        rank=session.head + 1,
        created_at=to_time(session.now),
    )
    turns.put(session.conn, turn, welcome.locale)
    session.append([TurnEvent(turn)], turn.id)
    return turn
