"""The recorded steps of turns that are not over (promise R-08)."""

import zlib
from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from legato.core.errors import Corrupted
from legato.core.steps import Step
from legato.store.locked import Locked, lock
from legato.store.schema import steps
from legato.store.turns import open_turn


def save(conn: Connection, session_id: str, turn_id: str, epoch: int, changes: Sequence[Step]) -> bool:
    """Record what the owner of a running turn has done or begins to do; False when it is no longer the owner.

    To save the same once more does no harm.

    Raises:
        SessionNotFound: it has been deleted.
    """
    session = lock(conn, session_id, None)
    row = open_turn(conn, session_id)
    if session.epoch != epoch or row is None or row.id != turn_id:
        return False
    put(session, turn_id, changes)
    return True


def put(session: Locked, turn_id: str, changes: Sequence[Step]) -> None:
    """Record these, in this order, under the session's lock: the newest of a number stands."""
    for step in changes:
        values = _values(turn_id, step)
        if not session.conn.execute(_CHANGE, {"of_turn": turn_id, "of_number": step.number} | values).rowcount:
            session.conn.execute(_INSERT, {"turn_id": turn_id, "number": step.number} | values)


def of_turn(conn: Connection, turn_id: str) -> list[Step]:
    """What was recorded, in the order of its numbers. Raises Corrupted."""
    return [_step(row) for row in conn.execute(_OF_TURN, {"turn_id": turn_id})]


def forget_replies(conn: Connection, turn_id: str) -> None:
    """Models are asked anew; what was done stays done."""
    conn.execute(_FORGET_REPLIES, {"turn_id": turn_id})


def settle(conn: Connection, turn_id: str, call_ids: Collection[str]) -> None:
    """What came of these calls stands in the history now."""
    if call_ids:
        conn.execute(_SETTLE, {"turn_id": turn_id, "call_ids": list(call_ids)})


def forget(conn: Connection, turn_id: str) -> None:
    """The turn is over: nobody will do it again."""
    conn.execute(_FORGET, {"turn_id": turn_id})


def _values(turn_id: str, step: Step) -> dict[str, object]:
    return {
        "kind": step.kind,
        "name": step.name,
        "digest": step.digest,
        "call_id": step.call_id,
        "result": step.result,
        "failed": step.failed,
        "crc": _crc(turn_id, step.digest, step.result),
    }


def _step(row: Row[Any]) -> Step:
    if _crc(row.turn_id, row.digest, row.result) != row.crc:
        raise Corrupted("a recorded step does not match its checksum", turn_id=row.turn_id)
    return Step(
        number=row.number,
        kind=row.kind,
        name=row.name,
        digest=row.digest,
        call_id=row.call_id,
        result=row.result,
        failed=row.failed,
    )


def _crc(turn_id: str, digest: str, result: str | None) -> int:
    return zlib.crc32((result or "").encode(), zlib.crc32(f"{turn_id} {digest}".encode()))


_MINE: Final = (steps.c.turn_id == bindparam("of_turn"), steps.c.number == bindparam("of_number"))
_INSERT: Final = insert(steps)
_CHANGE: Final = (
    update(steps)
    .where(*_MINE)
    .values({name: bindparam(name) for name in ("kind", "name", "digest", "call_id", "result", "failed", "crc")})
)
_OF_TURN: Final = select(steps).where(steps.c.turn_id == bindparam("turn_id")).order_by(steps.c.number)
_FORGET: Final = delete(steps).where(steps.c.turn_id == bindparam("turn_id"))
_SETTLE: Final = _FORGET.where(steps.c.call_id.in_(bindparam("call_ids", expanding=True)))
_FORGET_REPLIES: Final = _FORGET.where(steps.c.kind == "stream")
