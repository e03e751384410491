"""A branch as the conversation that a fork begins with. What was used stays with the session that used it."""

from collections.abc import Sequence

import msgspec

from legato.core.model import Message, Session, Turn
from legato.core.states import is_terminal
from legato.transfer.records import Conversation, record_of

REASON = "forked"


def copied(session: Session, messages: Sequence[Message], turns: Sequence[Turn]) -> Conversation:
    """The messages of one branch, oldest first, and the turns that they belong to."""
    held = {message.id for message in messages}
    known = {turn.id for turn in turns}
    return Conversation(
        origin="",
        place=session.id,
        session=record_of(session, messages[-1].id if messages else None),
        messages=tuple(msgspec.structs.replace(each, usage=None, client_message_id=None) for each in messages),
        turns=tuple(_over(each, held, known, session) for each in turns),
    )


def _over(turn: Turn, held: set[str], known: set[str], session: Session) -> Turn:
    """A turn that has ended, without what it used and without an answer that was not taken over."""
    if not is_terminal(turn.status):
        turn = msgspec.structs.replace(turn, status="incomplete", reason=REASON, finished_at=session.created_at)
    return msgspec.structs.replace(
        turn,
        answer_id=turn.answer_id if turn.answer_id in held else None,
        source_turn_id=turn.source_turn_id if turn.source_turn_id in known else None,
        mode="queue",
        phase=None,
        detail=None,
        usage=None,
    )
