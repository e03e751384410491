"""Bodies of answers as they travel, where the client hands out something better."""

import msgspec

from legato.core.events import Done, Snapshot
from legato.core.model import State, Turn


class SentBody(msgspec.Struct):
    """A send was accepted."""

    turn: Turn
    cursor: str


class ViewBody(msgspec.Struct):
    """A session at one instant."""

    state: State
    cursor: str


class EventBody(msgspec.Struct):
    """An event read as JSON; its data is decoded by who needs it."""

    type: str
    data: msgspec.Raw

    def ends(self, turn_id: str) -> bool:
        """Whether a stream would tell the turn's end here: by its ``done``, or by a state that has it."""
        if self.type == Done.event:
            return msgspec.json.decode(self.data, type=_DoneBody).turn_id == turn_id
        return self.type == Snapshot.event


class _DoneBody(msgspec.Struct):
    turn_id: str


class EventsBody(msgspec.Struct):
    """A piece of a journal."""

    data: list[EventBody]
    cursor: str
    has_more: bool
