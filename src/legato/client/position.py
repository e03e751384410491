"""Where a reader stands in a journal, and which frame takes it further."""

from collections.abc import Mapping
from typing import Final

from legato.client.errors import NotLegato
from legato.core.cursor import Cursor, parse_cursor
from legato.core.errors import BadCursor, Corrupted
from legato.core.events import EVENT_TYPES, Event, Snapshot, decode_event
from legato.core.sse import Frame

BEGINNING: Final = "0"
_KNOWN: Final = frozenset(EVENT_TYPES)


class Position:
    """A cursor that moves forward, and elsewhere only with a snapshot.

    ``after``: a cursor, ``"0"`` for the beginning, None for a snapshot of now.

    Within an incarnation every seq is let through once. A snapshot of a state replaces everything, so the cursor goes
    with it wherever it is: into another incarnation (the database was restored), or back, where a server lost its newest
    events (the disk of a copied database) and says so in this way.
    """

    def __init__(self, after: Cursor | str | None) -> None:
        self._beginning = after == BEGINNING
        self.cursor = None if after is None or after == BEGINNING else parse_cursor(str(after))

    def params(self) -> Mapping[str, str]:
        """The query of a request for what comes next."""
        if self.cursor is not None:
            return {"after": str(self.cursor)}
        return {"after": BEGINNING} if self._beginning else {}

    def advance(self, frame: Frame) -> tuple[Cursor, Event] | None:
        """The event that ``frame`` brings; None if it was seen before, is not durable, or not known here.

        Raises:
            NotLegato: a cursor or an event that can't be read.
        """
        if frame.id is None:
            return None
        try:
            cursor = parse_cursor(frame.id)
            event = decode_event(frame.event, frame.data) if frame.event in _KNOWN else None
        except (BadCursor, Corrupted) as error:
            raise NotLegato(f"the stream brought something unreadable at {frame.id!r}: {error}") from error
        if not self._goes_on(cursor, event):
            return None
        self.cursor = cursor
        return None if event is None else (cursor, event)

    def _goes_on(self, cursor: Cursor, event: Event | None) -> bool:
        if self.cursor is None:
            return True
        if isinstance(event, Snapshot) and event.state is not None:
            return cursor != self.cursor
        if cursor.incarnation == self.cursor.incarnation:
            return cursor.seq > self.cursor.seq
        raise NotLegato(f"the journal went from {self.cursor} to {cursor} without a snapshot")
