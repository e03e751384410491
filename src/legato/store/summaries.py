"""Summaries: what stands in a prompt for the oldest messages of a branch; and pins, what never falls out of it (promise C-03).

A summary stands at the last message that it tells of, and counts on every branch that goes through that one: the nearest to the
leaf is the one in force. The messages themselves stay where they are. It goes with its message, and with what was cleared.
"""

import zlib
from collections.abc import Mapping, Sequence
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
    """

    session: Session
    summary: Summary | None
    count: int
    oldest: tuple[Message, ...]
    newest: tuple[Message, ...]


def earlier(conn: Connection, session_id: str, leaf_id: str, *, summarised: bool) -> Earlier:
    """What a prompt for ``leaf_id`` holds besides the newest messages of its branch; a summary only if it is ``summarised``."""
    made = _made(conn, session_id) if summarised else {}
    pins = set(conn.execute(_PINNED, {"session_id": session_id}).scalars())
    if not made and not pins:
        return NOTHING
    climb = messages.Climb(conn, leaf_id)
    while climb.goes_on and not (_has_met(climb, made) and pins <= climb.places.keys()):
        climb.climb()
    summary = _nearest(climb, made)
    since = len(climb.places) if summary is None else climb.places[summary.message_id]
    pinned = _pinned(conn, climb, [each for each in pins if each in climb.places])
    covered = 0 if summary is None else sum(place >= since for place in pinned)
    return Earlier(summary, since, tuple(pinned[place] for place in sorted(pinned, reverse=True)), covered)


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
    made = _made(conn, session_id)
    found = _nearest(_climbed(conn, row.leaf_id, made), made) if made else None
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
    made = _made(conn, session_id)
    climb = _climbed(conn, row.leaf_id, made)
    summary = _nearest(climb, made)
    ids = list(climb.places)[: None if summary is None else climb.places[summary.message_id]][::-1]
    return Material(
        session=to_session(row),
        summary=summary,
        count=len(ids),
        oldest=tuple(messages.each(conn, ids[:oldest])),
        newest=tuple(messages.each(conn, ids[-newest:])),
    )


def keep(conn: Connection, session_id: str, message_id: str, count: int, summary: str) -> bool:
    """Store a summary of the first ``count`` messages of the branches through ``message_id``.

    False where that one is gone, and in quarantine.

    Raises:
        SessionNotFound: it has been deleted.
    """
    session = lock(conn, session_id, None)
    if session.quarantined or messages.place(conn, session_id, message_id) is None:
        return False
    conn.execute(delete(summaries).where(summaries.c.message_id == message_id))
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


def forget_all(conn: Connection, session_id: str) -> None:
    """What a session's messages were summarised to goes; ``scrubbing`` is the caller's."""
    conn.execute(delete(summaries).where(summaries.c.session_id == session_id))


def _made(conn: Connection, session_id: str) -> dict[str, Summary]:
    """A session's summaries by the messages where they stand. A damaged one is none: another takes its place in time."""
    found = conn.execute(_OF_SESSION, {"session_id": session_id})
    return {row.message_id: _to_summary(row) for row in found if row.crc == _crc(row.message_id, row.text)}


def _climbed(conn: Connection, leaf_id: str | None, made: Mapping[str, Summary]) -> messages.Climb:
    """From the leaf to the first summary, or to the root."""
    climb = messages.Climb(conn, leaf_id)
    while climb.goes_on and not (made and _has_met(climb, made)):
        climb.climb()
    return climb


def _has_met(climb: messages.Climb, made: Mapping[str, Summary]) -> bool:
    return not made or not made.keys().isdisjoint(climb.places)


def _nearest(climb: messages.Climb, made: Mapping[str, Summary]) -> Summary | None:
    met = made.keys() & climb.places.keys()
    return made[min(met, key=lambda each: climb.places[each])] if met else None


def _crc(message_id: str, summary: str) -> int:
    return zlib.crc32(summary.encode(), zlib.crc32(message_id.encode()))


def _to_summary(row: Any) -> Summary:
    return Summary(message_id=row.message_id, messages=row.messages, text=row.text, created_at=to_time(row.created_at))


_SESSION: Final = select(sessions).where(sessions.c.id == bindparam("session_id"), sessions.c.owner != NOBODY)
_OF_SESSION: Final = select(summaries).where(summaries.c.session_id == bindparam("session_id"))
_PINNED: Final = select(message_table.c.id).where(
    message_table.c.session_id == bindparam("session_id"), message_table.c.pinned, messages.NOT_CLEARED
)
