"""Workers: processes that run turns, and the counters by which others see that they live."""

from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from legato.core.errors import Corrupted, MessageNotFound, SessionQuarantined
from legato.store import accepting, claiming
from legato.store.accepting import Send
from legato.store.claiming import Claimant
from legato.store.dialect import utc_us
from legato.store.ending import Ended, Meter
from legato.store.schema import turns, workers


def register(conn: Connection, worker_id: str) -> None:
    conn.execute(insert(workers).values(id=worker_id, counter=0, started_at=utc_us()))


def beat(conn: Connection, worker_id: str) -> bool:
    """Raise the counter; False when this worker has been declared dead."""
    done = conn.execute(update(workers).where(workers.c.id == worker_id).values(counter=workers.c.counter + 1))
    return bool(done.rowcount)


def claim(conn: Connection, session_id: str, claimant: Claimant, meter: Meter) -> claiming.Claimed | Ended | None:
    """``claiming.claim`` for a worker that nobody has declared dead: what it took would be rescued from under its hands.

    A turn whose message is damaged or gone, or that waits in a session in quarantine, comes to its end instead.
    """
    if not _alive(conn, claimant):
        return None
    try:
        return claiming.claim(conn, session_id, claimant)
    except (Corrupted, MessageNotFound, SessionQuarantined) as why:
        return claiming.end_unreadable(conn, session_id, meter, why)


def accept(
    conn: Connection, send: Send, meter: Meter, claimant: Claimant | None, check: accepting.Check
) -> accepting.Accepted:
    """``accepting.accept``; who has been declared dead leaves the turn to the living."""
    alive = claimant is not None and _alive(conn, claimant)
    return accepting.accept(conn, send, meter, claimant if alive else None, check)


def _alive(conn: Connection, claimant: Claimant) -> bool:
    return conn.execute(_KNOWN, {"id": claimant.worker_id}).first() is not None


_KNOWN: Final = select(workers.c.id).where(workers.c.id == bindparam("id"))


def counters(conn: Connection) -> dict[str, int]:
    return {row.id: row.counter for row in conn.execute(select(workers.c.id, workers.c.counter))}


def remove(conn: Connection, worker_id: str) -> None:
    conn.execute(delete(workers).where(workers.c.id == worker_id))


def orphans(conn: Connection) -> list[Any]:
    """``(session_id, id, worker_id)`` of running turns whose worker is not registered (any more)."""
    known = select(workers.c.id)
    found = select(turns.c.session_id, turns.c.id, turns.c.worker_id)
    owned = found.where(
        turns.c.status == "in_progress", turns.c.worker_id.is_not(None)
    )  # parked ones wait to be claimed
    return list(conn.execute(owned.where(turns.c.worker_id.not_in(known))).all())


def held(conn: Connection, worker_id: str) -> list[Any]:
    """``(session_id, id, worker_id, epoch)`` of the running turns that this worker owns."""
    found = select(turns.c.session_id, turns.c.id, turns.c.worker_id, turns.c.epoch)
    return list(conn.execute(found.where(turns.c.status == "in_progress", turns.c.worker_id == worker_id)).all())
