"""What a fork begins with: a branch of a session up to a message, looked up at one instant and read later, some at a time."""

from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import Connection, bindparam, select

from legato.core.errors import MessageNotFound, SessionQuarantined, TurnNotFinished
from legato.core.model import Session
from legato.core.states import is_terminal
from legato.store import lifecycle, messages
from legato.store.dialect import hold, utc_us
from legato.store.lifecycle import Policy
from legato.store.locked import readable
from legato.store.port import Row
from legato.store.rows import to_session, to_time
from legato.store.schema import turns


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A branch from its root on. ``turn_ids`` are those that its messages belong to, in the order in which they ended, one
    that runs last."""

    session: Session
    message_ids: tuple[str, ...]
    turn_ids: tuple[str, ...]
    now: datetime


class Closed(msgspec.Struct, frozen=True):
    """What was appended to the sessions that made place."""

    rows: tuple[Row, ...]


def source(conn: Connection, session_id: str, owner: str, message_id: str | None) -> Source:
    """The branch that ends with a message; None: the active one, without an answer that still grows.

    Raises:
        SessionNotFound, SessionQuarantined, MessageNotFound; TurnNotFinished: the message waits, or still grows.
    """
    row = readable(conn, session_id, owner)
    if row.quarantined_at is not None:
        raise SessionQuarantined
    leaf_id = row.leaf_id
    if message_id is not None:
        _finished(conn, session_id, message_id)
        leaf_id = message_id
    branch = [] if leaf_id is None else list(conn.execute(_ALONG, {"leaf_id": leaf_id}).all())
    while branch and not is_terminal(branch[-1].status):
        branch.pop()
    theirs = {each.turn_id for each in branch}
    ended = conn.execute(_TURN_IDS, {"session_id": session_id}).scalars()
    return Source(
        session=to_session(row),
        message_ids=tuple(each.id for each in branch),
        turn_ids=tuple(turn_id for turn_id in ended if turn_id in theirs),
        now=to_time(conn.execute(select(utc_us())).scalar_one()),
    )


def make_way(conn: Connection, session: Session, policy: Policy) -> Closed:
    """Close the others, where there is one current session only (promise S-04): another one has begun."""
    hold(conn, f"current {session.owner} {session.agent_id}")
    return Closed(lifecycle.close_others(conn, session, policy))


def there(conn: Connection, session_id: str, owner: str) -> None:
    """Raises SessionNotFound: it has been deleted meanwhile."""
    readable(conn, session_id, owner)


def _finished(conn: Connection, session_id: str, message_id: str) -> None:
    place = messages.place(conn, session_id, message_id)
    if place is None:
        raise MessageNotFound(message_id=message_id)
    if not is_terminal(place.status):
        raise TurnNotFinished(turn_id=place.turn_id)


_ALONG: Final = messages.places_along()
# Without a seq of its end a turn has not ended: it comes last.
_TURN_IDS: Final = (
    select(turns.c.id)
    .where(turns.c.session_id == bindparam("session_id"), turns.c.status != "queued")
    .order_by(turns.c.done_seq.is_(None), turns.c.done_seq)
)
