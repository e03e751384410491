"""What is unfinished when it is written down, or read: it becomes ``incomplete``, with the words that are there."""

from datetime import datetime
from typing import Final

import msgspec

from legato.core.model import ErrorInfo, Message, Turn
from legato.core.states import is_terminal

REASON: Final = "exported"
_UNBEGUN: Final = ErrorInfo(REASON, "The answer had not begun when this was exported.")
_WITHOUT_REASON: Final = ErrorInfo("unknown", "The file does not say what went wrong.")


def settled_turn(turn: Turn, now: datetime) -> Turn:
    """A turn that has ended: one that runs or waits ends here."""
    if is_terminal(turn.status):
        return turn
    return msgspec.structs.replace(
        turn, status="incomplete", reason=REASON, finished_at=now, phase=None, detail=None, mode="queue"
    )


def settled_message(message: Message) -> Message:
    """A message that does not grow any more; an answer without a word says why (promise R-06)."""
    if not is_terminal(message.status):
        message = msgspec.structs.replace(message, status="incomplete")
        if message.role == "assistant" and not message.parts and message.error is None:
            return msgspec.structs.replace(message, error=_UNBEGUN)
    if message.status == "failed" and message.error is None:
        return msgspec.structs.replace(message, error=_WITHOUT_REASON)
    return message
