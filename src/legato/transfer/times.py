"""Times of a file that have not come yet: a list in the order of time would have them first for ever."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from legato.core.model import Message, Turn
from legato.transfer.records import Conversation, SessionRecord, Skipped

_OF_SESSION: Final = ("created_at", "last_activity", "closed_at", "archived_at")
_OF_MESSAGE: Final = ("created_at",)
_OF_TURN: Final = ("created_at", "started_at", "finished_at")

Timed = TypeVar("Timed", SessionRecord, Message, Turn)


def not_after(conversation: Conversation, latest: datetime) -> Conversation:
    """The conversation with ``latest`` in the place of every later time, and told so."""
    capped = msgspec.structs.replace(
        conversation,
        session=_capped(conversation.session, _OF_SESSION, latest),
        messages=tuple(_capped(each, _OF_MESSAGE, latest) for each in conversation.messages),
        turns=tuple(_capped(each, _OF_TURN, latest) for each in conversation.turns),
    )
    if _is_same(capped, conversation):
        return conversation
    why = "it lies in the future: a day from now takes its place"
    told = Skipped(place=conversation.place, what="time", why=why)
    return msgspec.structs.replace(capped, skipped=(*conversation.skipped, told))


def _capped(thing: Timed, names: Sequence[str], latest: datetime) -> Timed:
    """The thing itself where nothing is to be changed."""
    times = {name: getattr(thing, name) for name in names}
    changes = {name: latest for name, at in times.items() if at is not None and at > latest}
    return msgspec.structs.replace(thing, **changes) if changes else thing


def _is_same(one: Conversation, other: Conversation) -> bool:
    return one.session is other.session and all(
        mine is theirs
        for mine, theirs in zip((*one.messages, *one.turns), (*other.messages, *other.turns), strict=True)
    )
