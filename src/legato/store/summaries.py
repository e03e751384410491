"""Summaries: what stands in a prompt for the oldest messages of a branch; and pins, what never falls out of it (promise C-03).

A summary stands at the last message that it tells of, and counts on every branch that goes through that one: the nearest to the
leaf is the one in force. The messages themselves stay where they are. It goes with its message, and with what was cleared.
"""

import zlib
from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select

from legato.core.errors import SessionNotFound, SummaryNotFound
from legato.core.model import Message, Session, Summary
from legato.core.prompt import NOTHING, Earlier
from legato.store import messages, scrubbing
from legato.store.locked import lock, readable
from legato.store.rows import to_session, to_time
from legato.store.schema import NOBODY, sessions, summaries
from legato.store.schema import messages as message_table

_MOST: Final = 20  # of a session: older ones count on branches that few go back to


class Material(msgspec.Struct, frozen=True, kw_only=True):
    """What may be summarised: the messages of the active branch that no summary tells of, ``count`` in all.

    ``oldest`` and ``newest`` are the ends of them, oldest first; they may overlap. ``summary`` tells of what is before.
    ``pinned`` are sent whatever happens.
    """

    session: Session
    summary: Summary | None
    count: int
    oldest: tuple[Message, ...]
    newest: tuple[Message, ...]
    pinned: tuple[Message, ...]


def earlier(conn: Connection, session_id: str, leaf_id: str, *, summarised: bool) -> Earlier:
    """What a prompt for ``leaf_id`` holds besides the newest messages of its branch; a summary only if it is ``summarised``."""
    made = _places(conn, session_id) if summarised else set()
    pins = _pins(conn, session_id)
    if not made and not pins:
        return NOTHING
    climb = messages.Climb(conn, leaf_id)
    while climb.goes_on and not (_has_met(climb, made) and pins <= climb.places.keys()):
        climb.climb()
    summary = _nearest(conn, climb, made)
    since = len(climb.places) if summary is None else climb.places[summary.message_id]
    pinned = _pinned(conn, climb, [each for each in pins if each in climb.places])
    covered = 0 if summary is None else sum(place >= since for place in pinned)
    return Earlier(summary, since, tuple(pinned[place] for place in sorted(pinned, reverse=True)), covered)


def _pins(conn: Connection, session_id: str) -> set[str]:
    return set(conn.execute(_PINNED, {"session_id": session_id}).scalars())


def _pinned(conn: Connection, climb: messages.Climb, ids: Sequence[str]) -> dict[int, Message]:
    """Pinned messages by their place on the branch, with the questions of the answers among them."""
    found = {climb.places[each.id]: each for each in messages.by_ids(conn, ids).values()}
    asked = {each.parent_id: place + 1 for place, each in found.items() if each.role == "assistant" and each.parent_id}
    questions = messages.by_ids(conn, list(asked))
    return found | {asked[each.id]: each for each in questions.values()}


def current(conn: Connection, session_id: str, owner: str) -> Summary:
    """The summary in force on the active branch.

    Raises:
        SessionNotFound; SummaryNotFound: none is.
    """
    row = readable(conn, session_id, owner)
    made = _places(conn, session_id)
    found = _nearest(conn, _climbed(conn, row.leaf_id, made), made) if made else None
    if found is None:
        raise SummaryNotFound
    return found


def material(conn: Connection, session_id: str, oldest: int, newest: int) -> Material:
    """What may be summarised of a session: so many messages of either end.

    Raises:
        SessionNotFound: it has been deleted. Corrupted: one of them is damaged.
    """
    row = conn.execute(_SESSION, {"session_id": session_id}).first()
    if row is None:
        raise SessionNotFound
    made = _places(conn, session_id)
    climb = _climbed(conn, row.leaf_id, made)
    summary = _nearest(conn, climb, made)
    ids = list(climb.places)[: None if summary is None else climb.places[summary.message_id]][::-1]
    return Material(
        session=to_session(row),
        summary=summary,
        count=len(ids),
        oldest=tuple(messages.each(conn, ids[:oldest])),
        newest=tuple(messages.each(conn, ids[-newest:])),
        pinned=earlier(conn, session_id, row.leaf_id, summarised=True).pinned if row.leaf_id else (),
    )


def keep(
    conn: Connection,
    session_id: str,
    message_id: str,
    count: int,
    summary: str,
    *,
    first_id: str | None = None,
    upon: Summary | None = None,
) -> bool:
    """Store a summary of the first ``count`` messages of the branches through ``message_id``.

    It was made of what follows the summary ``upon``, from ``first_id`` on: False where any of that is gone by now, as a trim
    or a clear has taken it away, and in quarantine.

    Raises:
        SessionNotFound: it has been deleted.
    """
    session = lock(conn, session_id, None)
    if upon is not None and upon.message_id not in _places(conn, session_id):
        return False
    told_of = {message_id, first_id or message_id}
    if session.quarantined or any(messages.place(conn, session_id, one) is None for one in told_of):
        return False
    if conn.execute(delete(summaries).where(summaries.c.message_id == message_id)).rowcount:
        scrubbing.want(conn)
    values = {"session_id": session_id, "messages": count, "text": summary, "created_at": session.now}
    conn.execute(insert(summaries), values | {"message_id": message_id, "crc": _crc(message_id, summary)})
    _limit(conn, session_id)
    return True


def _limit(conn: Connection, session_id: str) -> None:
    """The oldest go."""
    mine = select(summaries.c.message_id).where(summaries.c.session_id == session_id)
    newest = mine.order_by(summaries.c.created_at.desc(), summaries.c.messages.desc()).limit(_MOST)
    gone = delete(summaries).where(summaries.c.session_id == session_id, summaries.c.message_id.not_in(newest))
    if conn.execute(gone).rowcount:
        scrubbing.want(conn)


def forget_all(conn: Connection, session_id: str) -> bool:
    """What a session's messages were summarised to goes, if there is any; ``scrubbing`` is the caller's."""
    return bool(conn.execute(delete(summaries).where(summaries.c.session_id == session_id)).rowcount)


def copied(
    conn: Connection, leaf_id: str | None, copy_leaf_id: str | None, session_id: str
) -> tuple[Summary, str] | None:
    """The summary in force at ``leaf_id``, and the message of a copy of its branch where it stands there.

    The copy is the whole branch, message by message, in another session.
    """
    made = _places(conn, session_id)
    climb = _climbed(conn, leaf_id, made)
    summary = _nearest(conn, climb, made)
    if summary is None:
        return None
    place, copy = climb.places[summary.message_id], messages.Climb(conn, copy_leaf_id)
    while copy.goes_on and len(copy.places) <= place:
        copy.climb()
    return next(((summary, message_id) for message_id, at in copy.places.items() if at == place), None)


def _places(conn: Connection, session_id: str) -> set[str]:
    """Where a session's summaries stand."""
    return set(conn.execute(_OF_SESSION, {"session_id": session_id}).scalars())


def _climbed(conn: Connection, leaf_id: str | None, made: Collection[str]) -> messages.Climb:
    """From the leaf to the first summary, or to the root."""
    climb = messages.Climb(conn, leaf_id)
    while climb.goes_on and not (made and _has_met(climb, made)):
        climb.climb()
    return climb


def _has_met(climb: messages.Climb, made: Collection[str]) -> bool:
    return not made or not climb.places.keys().isdisjoint(made)


def _nearest(conn: Connection, climb: messages.Climb, made: Collection[str]) -> Summary | None:
    """The one nearest to the leaf. A damaged one is none: another takes its place in time."""
    for message_id in sorted(climb.places.keys() & made, key=lambda each: climb.places[each]):
        row = conn.execute(_AT, {"message_id": message_id}).one()
        if row.crc == _crc(row.message_id, row.text):
            return _to_summary(row)
    return None


def _crc(message_id: str, summary: str) -> int:
    return zlib.crc32(summary.encode(), zlib.crc32(message_id.encode()))


def _to_summary(row: Any) -> Summary:
    return Summary(message_id=row.message_id, messages=row.messages, text=row.text, created_at=to_time(row.created_at))


_SESSION: Final = select(sessions).where(sessions.c.id == bindparam("session_id"), sessions.c.owner != NOBODY)
_OF_SESSION: Final = select(summaries.c.message_id).where(summaries.c.session_id == bindparam("session_id"))
_AT: Final = select(summaries).where(summaries.c.message_id == bindparam("message_id"))
_PINNED: Final = select(message_table.c.id).where(
    message_table.c.session_id == bindparam("session_id"), message_table.c.pinned, messages.NOT_CLEARED
)
