"""How a session lives: found or begun, closed for its silence or for the next one. Whatever closes by a rule leaves alone what
is queued, running or parked; closing, pruning and accepting meet on the session's row."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, exists, select

from legato.core.errors import SessionNotFound
from legato.core.events import SessionEvent
from legato.core.model import Session
from legato.store import chores, sessions
from legato.store.dialect import hold, utc_us
from legato.store.locked import Locked, lock, lock_all, readable
from legato.store.port import Row
from legato.store.rows import to_session
from legato.store.schema import NOBODY, turns
from legato.store.schema import chores as chore_table
from legato.store.schema import sessions as session_table
from legato.store.ticks import Boot, Told, tick
from legato.store.turns import unfinished


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent says about its sessions; times in microseconds, None for never. ``memory``: it remembers facts."""

    single_current: bool = False
    idle_us: int | None = None
    retention_us: int | None = None
    memory: bool = False


class Begun(msgspec.Struct, frozen=True):
    """A session, whether this call made it, and what was appended to it and to those it closed."""

    session: Session
    created: bool
    rows: tuple[Row, ...] = ()


def begin(conn: Connection, new: sessions.NewSession, policy: Policy) -> Begun:
    """A new session; the one of its ``context`` key, where there is one already (promise S-09).

    Where there is one current session only, the others close (promise S-04).

    Raises:
        SessionExists: the id is taken.
    """
    if new.context is not None:
        hold(conn, f"context {new.owner} {new.agent_id} {new.context}")
        if (found := of_context(conn, new.owner, new.agent_id, new.context)) is not None:
            return Begun(found, created=False)
    elif policy.single_current:
        hold(conn, f"current {new.owner} {new.agent_id}")
    return _begin(conn, new, policy, _AT_ONCE)


def _begin(conn: Connection, new: sessions.NewSession, policy: Policy, at_once: int) -> Begun:
    made = sessions.create(conn, new)
    if not policy.single_current or new.context is not None:
        return Begun(made.session, created=True, rows=made.rows)
    others = _others(conn, made.session.id, new.owner, new.agent_id, at_once)
    return Begun(made.session, created=True, rows=made.rows + _close_all(lock_all(conn, others, new.owner), policy))


def current(conn: Connection, new: sessions.NewSession, policy: Policy, boot: Boot, window_us: int) -> Begun:
    """The owner's active session with an agent, else a new one (S-04); one too silent for its policy closes on the way.

    The clock is as in ``look``.
    """
    hold(conn, f"current {new.owner} {new.agent_id}")
    newest = [row.id for row in _active(conn, new.owner, new.agent_id, _AT_ONCE)]
    there = lock_all(conn, newest, new.owner)
    closed: tuple[Row, ...] = ()
    for session in (there[session_id] for session_id in newest if session_id in there):
        if session.closed:
            continue
        if not _is_silent(session, policy, boot, window_us):
            return Begun(session.known, created=False, rows=closed)
        closed += _close(session, policy)
    begun = _begin(conn, new, policy, at_once=0)  # nothing is locked after the others
    return msgspec.structs.replace(begun, rows=closed + begun.rows)


def newest_active(conn: Connection, owner: str, agent_id: str) -> Session | None:
    """The session that ``current`` would find, whatever its policy."""
    row = next(iter(_active(conn, owner, agent_id, 1)), None)
    return None if row is None else to_session(row)


def of_context(conn: Connection, owner: str, agent_id: str, context: str) -> Session | None:
    row = conn.execute(_OF_CONTEXT, {"owner": owner, "agent_id": agent_id, "context": context}).first()
    return None if row is None else to_session(row)


def close_others(conn: Connection, session: Session, policy: Policy) -> tuple[Row, ...]:
    """Close the owner's other sessions with the agent: this one has begun."""
    others = _others(conn, session.id, session.owner, session.agent_id, _AT_ONCE)
    return _close_all(lock_all(conn, others, session.owner), policy)


def _others(conn: Connection, but_id: str, owner: str, agent_id: str, at_once: int) -> list[str]:
    """The owner's other open sessions with the agent: those that are to be closed here. What are more have it asked for."""
    others = [row.id for row in _active(conn, owner, agent_id, _MANY) if row.id != but_id]
    for session_id in others[at_once:]:
        chores.ask(conn, session_id, "close")
    return others[:at_once]


def _close_all(others: Mapping[str, Locked], policy: Policy) -> tuple[Row, ...]:
    """Close them; one in which something runs or waits, as soon as that is over."""
    rows: tuple[Row, ...] = ()
    for other in others.values():
        if unfinished(other.conn, other.id):
            chores.ask(other.conn, other.id, "close")
        elif not other.closed:
            rows += _close(other, policy)
    return rows


def reopen(conn: Connection, session_id: str, owner: str, policy: Policy) -> Begun:
    """Let a closed session take turns again; where there is one current session only, it becomes that.

    Raises:
        SessionNotFound.
    """
    row = readable(conn, session_id, owner)
    others: Sequence[str] = ()
    if policy.single_current and row.context is None:
        hold(conn, f"current {owner} {row.agent_id}")  # before any session is locked, as everywhere
        others = _others(conn, session_id, owner, row.agent_id, _AT_ONCE)
    there = lock_all(conn, [session_id, *others], owner)
    if (session := there.pop(session_id, None)) is None:
        raise SessionNotFound
    chores.take_back(conn, session_id, "close")  # it was to close for the one that it takes the place of
    session.change(closed_at=None)
    session.touch()  # else it would close again for its old silence
    reopened = session.session()
    session.append([SessionEvent(reopened)])
    rows = session.save()
    return Begun(reopened, created=False, rows=rows + _close_all(there, policy))


class Visited(msgspec.Struct, frozen=True):
    """What a rule did to the session, and what was appended."""

    rows: tuple[Row, ...] = ()
    closed: bool = False


def close_if_idle(conn: Connection, session_id: str, policy: Policy, boot: Boot, window_us: int) -> Visited | None:
    """Close a session that is silent for too long; None while something runs or waits in it. The clock is as in ``look``.

    Raises:
        SessionNotFound: it has been deleted.
    """
    session = lock(conn, session_id, None)
    if unfinished(conn, session_id):
        return None
    if session.closed or not _is_silent(session, policy, boot, window_us):
        return Visited()
    return Visited(_close(session, policy), closed=True)


def close_as_asked(conn: Connection, session_id: str, policy: Policy) -> Visited | None:
    """Close a session whose chore says so, however long it is silent; None while something runs or waits in it.

    Raises:
        SessionNotFound: it has been deleted.
    """
    session = lock(conn, session_id, None)
    if unfinished(conn, session_id):
        return None
    if session.closed or not chores.is_asked(conn, session_id, "close"):
        return Visited()
    return Visited(_close(session, policy), closed=True)


def look(conn: Connection, boot: Boot, window_us: int) -> Told:
    """What the clock is worth for closing by silence. To be called all the time: what jumped between two looks can be told only
    by what was seen before. ``window_us``: the longest silence that any agent waits for, whichever agent it is about."""
    return tick(conn, "closing", boot, window_us)


def idle(conn: Connection, agent_id: str, idle_us: int, limit: int) -> list[str]:
    """Open sessions of an agent that have been silent for so long, the longest first, without those in which something runs."""
    return list(conn.execute(_IDLE, {"agent_id": agent_id, "idle_us": idle_us, "limit": limit}).scalars())


def _is_silent(session: Locked, policy: Policy, boot: Boot, window_us: int) -> bool:
    """Whether it is silent for too long, and that is not perhaps only the clock's doing."""
    if policy.idle_us is None or session.now - session.last_activity < policy.idle_us:
        return False
    return not unfinished(session.conn, session.id) and look(session.conn, boot, window_us).sane


def _close(session: Locked, policy: Policy) -> tuple[Row, ...]:
    session.change(closed_at=session.now)
    closed = session.session()
    session.append([SessionEvent(closed)])
    if policy.memory and closed.memory:
        chores.ask(session.conn, session.id, "memory")
    return session.save()


def _active(conn: Connection, owner: str, agent_id: str, limit: int) -> Sequence[Any]:
    """Open sessions without a context key, the newest activity first, but for those that are about to close."""
    return conn.execute(_ACTIVE, {"owner": owner, "agent_id": agent_id, "limit": limit}).all()


_AT_ONCE: Final = 20  # sessions that one transaction closes
_MANY: Final = 1000

_s = session_table.c
_OPEN: Final = (_s.closed_at.is_(None), _s.archived_at.is_(None))
_TO_CLOSE: Final = exists().where(chore_table.c.session_id == _s.id, chore_table.c.kind == "close")
_ACTIVE: Final = (
    select(session_table)
    .where(_s.owner == bindparam("owner"), _s.agent_id == bindparam("agent_id"), _s.context.is_(None), *_OPEN)
    .where(~_TO_CLOSE)
    .order_by(_s.last_activity.desc(), _s.id.desc())
    .limit(bindparam("limit"))
)
_OF_CONTEXT: Final = select(session_table).where(
    _s.owner == bindparam("owner"), _s.agent_id == bindparam("agent_id"), _s.context == bindparam("context")
)
NOTHING_UNFINISHED: Final = ~exists().where(turns.c.session_id == _s.id, turns.c.status.in_(("in_progress", "queued")))
_IDLE: Final = (
    select(_s.id)
    .where(_s.agent_id == bindparam("agent_id"), _s.last_activity <= utc_us() - bindparam("idle_us"))
    .where(_s.closed_at.is_(None), _s.owner != NOBODY, NOTHING_UNFINISHED)
    .order_by(_s.last_activity)
    .limit(bindparam("limit"))
)
