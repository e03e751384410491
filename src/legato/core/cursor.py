"""What a client hands back to resume: ``incarnation.seq``."""

import re
from typing import Final, NamedTuple

from legato.core.errors import BadCursor

_FORM: Final = re.compile(r"([0-9a-f]{1,16})\.([0-9]{1,18})")


class Cursor(NamedTuple):
    """A position in a session's journal: everything up to and including ``seq`` has been seen.

    The incarnation is the database's: it changes when a backup is restored, so that a cursor from the lost future
    gets a snapshot and not silence.
    """

    incarnation: str
    seq: int

    def __str__(self) -> str:
        return f"{self.incarnation}.{self.seq}"


def parse_cursor(text: str) -> Cursor:
    """The cursor written in ``text``.

    Raises:
        BadCursor: it is not of the form ``hex.digits``.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise BadCursor
    return Cursor(match[1], int(match[2]))
