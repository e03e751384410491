"""A place in the answers of a search: what a client hands back for the next page."""

import base64
import binascii
import re
from typing import Any, Final

import msgspec

from legato.core.errors import BadCursor


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """After the hit ``id`` with its ``score`` and time; without one: at the beginning.

    Entries from ``floor`` to ``newest`` are ranked (0: no such end); those below follow. ``inside``: words are looked into.
    """

    inside: bool = False
    newest: int = 0
    floor: int = 0
    score: int = 0
    created_at: int = 0
    id: int = 0
    in_rest: bool = False

    def at(self, scored: Any) -> "Place":
        """The same search after another hit."""
        return msgspec.structs.replace(
            self,
            score=max(0, scored.score),
            created_at=scored.row.created_at,
            id=scored.id,
            in_rest=scored.score < 0,
        )

    def is_before(self, scored: Any) -> bool:
        """Whether the hit comes after this place."""
        return self.id == 0 or scored.rank > (-self.score, -self.created_at, -self.id)


_FORM: Final = re.compile(r"([01])\.([01])" + r"\.([0-9]{1,18})" * 5)


def write_place(place: Place) -> str:
    numbers = (place.newest, place.floor, place.score, place.created_at, place.id)
    said = ".".join(map(str, (int(place.inside), int(place.in_rest), *numbers)))
    return base64.urlsafe_b64encode(said.encode()).decode()


def read_place(cursor: str) -> Place:
    """Raises BadCursor."""
    try:
        found = _FORM.fullmatch(base64.urlsafe_b64decode(cursor).decode())
    except (binascii.Error, ValueError) as error:
        raise BadCursor from error
    if found is None:
        raise BadCursor
    newest, floor, scored, created_at, entry = map(int, found.groups()[2:])
    return Place(
        inside=found[1] == "1",
        in_rest=found[2] == "1",
        newest=newest,
        floor=floor,
        score=scored,
        created_at=created_at,
        id=entry,
    )
