"""The index of what was said and of titles: it follows the messages, and what is removed leaves no term in it.

A message that is removed is only marked here, in its own transaction; what it left in the index is taken out in slices, so that
no token waits for it: ``forget`` and ``forget_session`` for those who erase, ``tidy`` for everything else.
"""

from collections.abc import Sequence

from sqlalchemy import Connection


def forget(conn: Connection, message_ids: Sequence[str]) -> None:
    """Take these messages out of the index, to the last byte. For few of them: each costs a millisecond or more."""


def forget_session(conn: Connection, session_id: str, limit: int) -> int:
    """Take at most ``limit`` of a session's entries (its messages' and its title's) out of the index; how many there were.

    To be called in transactions of their own until it returns 0, before or after the messages themselves are deleted, whoever
    the session belongs to by then.
    """
    return 0


def clean(conn: Connection) -> bool:
    """Whether nothing of what was forgotten remains in the index's files; else one slice (at most 20 ms) was done: call again."""
    return True
