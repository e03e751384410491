"""What a search answers."""

from datetime import datetime

import msgspec

from legato.core.model import Role


class FoundIn(msgspec.Struct, frozen=True):
    """The session of a hit."""

    id: str
    title: str | None
    agent_id: str
    agent_name: str


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A message, or a title (``message_id`` and ``role`` are None, ``created_at`` says when it was given).

    ``snippet`` is HTML: a piece of the text, escaped, with ``<mark>`` around what was looked for. ``active``: it stands on
    its session's active branch, or waits to; else on one that can be read and switched to.
    """

    session: FoundIn
    message_id: str | None
    role: Role | None
    created_at: datetime
    score: int
    snippet: str
    active: bool = True


class SavedSearch(msgspec.Struct, frozen=True, kw_only=True):
    """A search under a name."""

    id: str
    name: str
    query: str
    created_at: datetime
