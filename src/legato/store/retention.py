"""Retention: what is too old goes, by the store's clock, and never because a clock jumped (promise S-06, guarantee G11).

The age of a session counts from its last activity. ``keep`` protects it, and so do quarantine and every turn that is queued,
running or parked. Whether the clock can be trusted is looked up in the transaction that removes, so that no jump comes in
between; how much would go is counted before, in a read, which may take as long as it likes.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, and_, bindparam, func, or_, select, text, tuple_

from legato.core.model import Session
from legato.store.dialect import hold, utc_us
from legato.store.ending import Meter
from legato.store.erasing import Gone, make_unreachable
from legato.store.lifecycle import NOTHING_UNFINISHED
from legato.store.locked import lock
from legato.store.rows import to_session, to_us
from legato.store.schema import NOBODY, meta, sessions, workers
from legato.store.ticks import Boot, Told, tick
from legato.store.turns import unfinished

_DAY_US: Final = 86_400_000_000
_HOUR_US: Final = 3_600_000_000
_KEY: Final = "retention"
#: While nobody can vouch for the clock, after a restart of the machine, no more than this goes in a day (promise S-06).
FEW: Final = 100
FEW_OF: Final = 0.01


class Due(msgspec.Struct, frozen=True):
    """A run that is due: the day it is for, and what the clock is worth."""

    day: int
    told: Told


class Size(msgspec.Struct, frozen=True):
    """How many sessions are too old, and of how many."""

    count: int
    of: int

    @property
    def most(self) -> int:
        """How many of them may go in a day while the clock is not proven."""
        return max(FEW, int(self.of * FEW_OF))


class _Run(msgspec.Struct, frozen=True):
    """The last day that was done, and who does the next one."""

    day: int
    worker_id: str | None = None


def due(
    conn: Connection, worker_id: str, hour: int, ages_us: Mapping[str, int], boot: Boot, window_us: int
) -> Due | None:
    """The daily run, if its hour has come and nobody alive does it or has done it; it is this worker's until it is ``done``.

    A store that is new begins with the next day. Ticks are taken at each call, so that a jump is seen when it happens.
    """
    hold(conn, _KEY)
    told = tick(conn, _KEY, boot, window_us)
    day = (told.now_us - hour * _HOUR_US) // _DAY_US
    run = _stored(conn)
    if run is None:
        _store(conn, _Run(day))
        return None
    if not told.sane:
        return Due(day, told)
    if day < run.day:
        _store(conn, _Run(day))  # that day was of a clock that has gone back
    if day <= run.day or not ages_us or (run.worker_id not in (None, worker_id) and _alive(conn, run.worker_id)):
        return None
    _store(conn, _Run(run.day, worker_id))
    return Due(day, told)


def look(conn: Connection, boot: Boot, window_us: int) -> Told:
    """What the clock is worth now."""
    return tick(conn, _KEY, boot, window_us)


def done(conn: Connection, day: int) -> None:
    """The run of a day has come to its end."""
    _store(conn, _Run(day))


def overdue(
    conn: Connection,
    ages_us: Mapping[str, int],
    limit: int,
    owner: str | None = None,
    after: Session | None = None,
) -> list[Session]:
    """Sessions that are older than their agent allows, the oldest first, from right ``after`` one; of one owner, or of all."""
    found = select(sessions).where(_too_old(ages_us, owner))
    if after is not None:
        place = tuple_(sessions.c.last_activity, sessions.c.id)
        found = found.where(place > tuple_(to_us(after.last_activity), after.id))
    found = found.order_by(sessions.c.last_activity, sessions.c.id).limit(limit)
    return [to_session(row) for row in conn.execute(found)]


def count(conn: Connection, ages_us: Mapping[str, int], owner: str | None = None) -> int:
    """How many those are."""
    return conn.execute(select(func.count()).select_from(sessions).where(_too_old(ages_us, owner))).scalar_one()


def size(conn: Connection, ages_us: Mapping[str, int]) -> Size:
    """How much would go."""
    return Size(count(conn, ages_us), _all(conn))


def are_few(conn: Connection, ages_us: Mapping[str, int]) -> bool:
    """Whether so few are too old that nobody need vouch for the clock. Counts no further than that takes."""
    most = Size(0, _all(conn)).most
    some = select(sessions.c.id).where(_too_old(ages_us, None)).limit(most + 1).subquery()
    return bool(conn.execute(select(func.count()).select_from(some)).scalar_one() <= most)


def prune(
    conn: Connection,
    session_id: str,
    ages_us: Mapping[str, int],
    boot: Boot,
    window_us: int,
    meter: Meter,
    *,
    vouched: bool = False,
) -> Gone | None:
    """Remove a session that is too old, now that nobody else can touch it; None where it stays.

    ``vouched``: somebody has seen that not too many go, or wants it so.

    Raises:
        SessionNotFound: it is gone.
    """
    session = lock(conn, session_id, None)
    age_us = ages_us.get(session.agent_id)
    kept = session.known.keep or session.quarantined or age_us is None
    if kept or session.now - session.last_activity < (age_us or 0) or unfinished(conn, session_id):
        return None
    told = tick(conn, _KEY, boot, window_us)
    if not told.sane or not (told.proven or vouched):
        return None
    return make_unreachable(conn, session, meter, "pruned")


def _too_old(ages_us: Mapping[str, int], owner: str | None) -> Any:
    aged = [
        and_(sessions.c.agent_id == agent_id, sessions.c.last_activity <= utc_us() - age_us)
        for agent_id, age_us in ages_us.items()
    ]
    whose = sessions.c.owner != NOBODY if owner is None else sessions.c.owner == owner
    return and_(or_(*aged) if aged else text("1 = 0"), whose, ~sessions.c.keep, _WHOLE, NOTHING_UNFINISHED)


def _all(conn: Connection) -> int:
    return conn.execute(select(func.count()).select_from(sessions)).scalar_one()


def _alive(conn: Connection, worker_id: str | None) -> bool:
    return conn.execute(select(workers.c.id).where(workers.c.id == worker_id)).first() is not None


def _stored(conn: Connection) -> _Run | None:
    value = conn.execute(_STORED, {"key": _KEY}).scalar()
    return None if value is None else msgspec.json.decode(value, type=_Run)


def _store(conn: Connection, run: _Run) -> None:
    conn.execute(_STORE, {"key": _KEY, "value": msgspec.json.encode(run).decode()})


_WHOLE: Final = sessions.c.quarantined_at.is_(None)
_STORED: Final = select(meta.c.value).where(meta.c.key == bindparam("key"))
_STORE: Final = text("INSERT INTO meta VALUES (:key, :value) ON CONFLICT (key) DO UPDATE SET value = excluded.value")
