"""Which sessions a list shows."""

from typing import Literal

from sqlalchemy import ColumnElement, and_

from legato.store.schema import sessions

SessionStatus = Literal["active", "closed", "archived", "pinned"]


def has_status(status: SessionStatus) -> ColumnElement[bool]:
    """The condition on a session that it is in this state."""
    match status:
        case "active":
            return and_(sessions.c.closed_at.is_(None), sessions.c.archived_at.is_(None))
        case "closed":
            return sessions.c.closed_at.is_not(None)
        case "archived":
            return sessions.c.archived_at.is_not(None)
        case "pinned":
            return sessions.c.pinned
