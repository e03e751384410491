"""Approvals: an agent asks a person; its turn waits for the answer, and no process holds it meanwhile (promise R-10)."""

import hashlib
from collections.abc import Iterable
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Connection, Row, bindparam, delete, insert, select, text, update

from legato.core.errors import ApprovalNotFound, GrantNotFound, SessionNotFound
from legato.core.events import ApprovalEvent, StatusUpdate
from legato.core.ids import new_id
from legato.core.model import Approval, ApprovalStatus, Grant
from legato.core.steps import Step, encoded
from legato.store import port, steps
from legato.store.dialect import utc_us
from legato.store.locked import Locked, lock
from legato.store.rows import maybe_time, to_time
from legato.store.schema import NOBODY, approvals, preferences, sessions
from legato.store.turns import change, open_turn

Decision = Literal["allow", "deny", "always"]

_GRANT: Final = "allow "
_STATUS: Final[dict[Decision, ApprovalStatus]] = {"allow": "allowed", "always": "allowed", "deny": "denied"}


class Asked(msgspec.Struct, frozen=True):
    """What stands now, and whether the turn waits for it."""

    approval: Approval
    waits: bool
    rows: tuple[port.Row, ...]


def ask(
    conn: Connection,
    session_id: str,
    turn_id: str,
    epoch: int,
    step: Step,
    question: str,
    tool: str | None,
    expires_us: int,
) -> Asked | None:
    """Ask the session's owner, unless he has allowed this tool for always; the turn is nobody's until he answers.

    The caller's events and steps must have been saved before. None: the turn is not the caller's.

    Raises:
        SessionNotFound: it has been deleted.
    """
    session = lock(conn, session_id, None)
    row = open_turn(conn, session_id)
    if session.epoch != epoch or row is None or row.id != turn_id:
        return None
    granted = tool is not None and _granted(conn, session.owner, row.agent_id, tool)
    approval_id = new_id("apr")
    values = {
        "id": approval_id,
        "session_id": session_id,
        "turn_id": turn_id,
        "owner": session.owner,
        "number": step.number,
        "digest": step.digest,
        "tool": tool,
        "question": question,
        "status": "allowed" if granted else "pending",
        "created_at": session.now,
        "expires_at": session.now + expires_us,
        "decided_at": session.now if granted else None,
    }
    conn.execute(insert(approvals), values)
    asked = get(conn, approval_id)
    told = [_event(asked)]
    if not granted:
        session.append([*told, StatusUpdate(turn_id, "awaiting_approval")], turn_id)
        session.raise_epoch()
        change(conn, turn_id, worker_id=None, asks=asked.id)
    else:
        session.append([*told], turn_id)
        session.touch()
    steps.put(session, turn_id, [_answered(step, asked.status) if granted else step])
    return Asked(asked, not granted, session.save())


class Decided(msgspec.Struct, frozen=True):
    """The approval as it stands, whether this call decided it, and what was appended."""

    approval: Approval
    fresh: bool
    rows: tuple[port.Row, ...] = ()


def decide(conn: Connection, approval_id: str, owner: str, decision: Decision) -> Decided:
    """An owner's answer; the first one counts, and none that comes too late.

    Raises:
        ApprovalNotFound: there is none, or it is somebody else's.
    """
    session, row = _locked(conn, approval_id, owner)
    if row.status != "pending":
        return Decided(_approval(row), fresh=False)
    if session.now >= row.expires_at:
        return _settle(session, row, "expired", fresh=False)
    if decision == "always" and row.tool is not None:
        _grant(conn, owner, session.agent_id, row.tool)
    return _settle(session, row, _STATUS[decision], fresh=True)


def expired(conn: Connection, limit: int) -> list[str]:
    """Approvals that nobody has answered in time, by the store's clock."""
    return list(conn.execute(_EXPIRED, {"limit": limit}).scalars())


def expire(conn: Connection, approval_id: str) -> Decided | None:
    """Nobody has answered in time: the turn goes on without an answer. None where somebody has, or it is gone."""
    try:
        session, row = _locked(conn, approval_id, None)
    except ApprovalNotFound:
        return None
    if row.status != "pending" or session.now < row.expires_at:
        return None
    return _settle(session, row, "expired", fresh=True)


def close(session: Locked, turn_id: str) -> list[ApprovalEvent]:
    """The turn ends, and with it what it asks."""
    row = session.conn.execute(_PENDING_OF_TURN, {"turn_id": turn_id}).first()
    if row is None:
        return []
    session.conn.execute(_DECIDE, {"of_id": row.id, "status": "expired", "decided_at": session.now})
    return [_event(get(session.conn, row.id))]


def forget(conn: Connection, turn_ids: Iterable[str]) -> None:
    """Remove what was asked in these turns."""
    conn.execute(delete(approvals).where(approvals.c.turn_id.in_(list(turn_ids))))


def forget_session(conn: Connection, session_id: str) -> None:
    """Remove what was asked in a session."""
    conn.execute(delete(approvals).where(approvals.c.session_id == session_id))


def get(conn: Connection, approval_id: str) -> Approval:
    """Raises ApprovalNotFound."""
    row = conn.execute(_BY_ID, {"id": approval_id}).first()
    if row is None:
        raise ApprovalNotFound
    return _approval(row)


def of_owner(conn: Connection, owner: str, approval_id: str) -> Approval:
    """Raises ApprovalNotFound: there is none, or it is somebody else's."""
    row = conn.execute(_OF_OWNER, {"id": approval_id, "owner": owner}).first()
    if row is None:
        raise ApprovalNotFound
    return _approval(row)


def waiting(conn: Connection, owner: str, limit: int) -> list[Approval]:
    """What waits for an owner's answer, the oldest first."""
    return [_approval(row) for row in conn.execute(_WAITING, {"owner": owner, "limit": limit})]


def grants(conn: Connection, owner: str) -> list[Grant]:
    """What an owner is not asked about any more."""
    found = select(preferences.c.name, preferences.c.value).where(
        preferences.c.owner == owner, preferences.c.name.startswith(_GRANT, autoescape=True)
    )
    rows = conn.execute(found.order_by(preferences.c.value))
    return [_to_grant(row.name, row.value) for row in rows]


def revoke(conn: Connection, owner: str, grant_id: str) -> None:
    """Have an owner asked again. Raises GrantNotFound."""
    mine = preferences.c.owner == owner, preferences.c.name == f"{_GRANT}{grant_id}"
    if not conn.execute(delete(preferences).where(*mine)).rowcount:
        raise GrantNotFound


def _locked(conn: Connection, approval_id: str, owner: str | None) -> tuple[Locked, Row[Any]]:
    row = conn.execute(_BY_ID, {"id": approval_id}).first()
    if row is None:
        raise ApprovalNotFound
    try:
        session = lock(conn, row.session_id, owner)
    except SessionNotFound:
        raise ApprovalNotFound from None
    again = conn.execute(_BY_ID, {"id": approval_id}).first()
    if again is None:
        raise ApprovalNotFound
    return session, again


def _settle(session: Locked, row: Row[Any], status: ApprovalStatus, *, fresh: bool) -> Decided:
    conn = session.conn
    conn.execute(_DECIDE, {"of_id": row.id, "status": status, "decided_at": session.now})
    decided = get(conn, row.id)
    step = Step(number=row.number, kind="ask", name=row.tool or "", digest=row.digest)
    steps.put(session, row.turn_id, [_answered(step, status)])
    change(conn, row.turn_id, asks=None)
    session.append([_event(decided), StatusUpdate(row.turn_id, "executing")], row.turn_id)
    session.touch()
    return Decided(decided, fresh, session.save())


def _answered(step: Step, status: ApprovalStatus) -> Step:
    return msgspec.structs.replace(step, result=encoded(status))


def _event(approval: Approval) -> ApprovalEvent:
    return ApprovalEvent(approval.turn_id, approval)


def _approval(row: Row[Any]) -> Approval:
    return Approval(
        id=row.id,
        session_id=row.session_id,
        turn_id=row.turn_id,
        question=row.question,
        status=row.status,
        tool=row.tool,
        created_at=to_time(row.created_at),
        expires_at=to_time(row.expires_at),
        decided_at=maybe_time(row.decided_at),
    )


def _grant_id(agent_id: str, tool: str) -> str:
    return hashlib.sha256(encoded([agent_id, tool]).encode()).hexdigest()[:32]


def _to_grant(name: str, value: str) -> Grant:
    agent_id, tool = msgspec.json.decode(value, type=tuple[str, str])
    return Grant(id=name.removeprefix(_GRANT), agent_id=agent_id, tool=tool)


def _grant(conn: Connection, owner: str, agent_id: str, tool: str) -> None:
    name = f"{_GRANT}{_grant_id(agent_id, tool)}"
    conn.execute(_ALLOW, {"owner": owner, "name": name, "value": encoded([agent_id, tool])})


def _granted(conn: Connection, owner: str, agent_id: str, tool: str) -> bool:
    key = {"owner": owner, "name": f"{_GRANT}{_grant_id(agent_id, tool)}"}
    return conn.execute(_PREFERENCE, key).first() is not None


_BY_ID: Final = select(approvals).where(approvals.c.id == bindparam("id"))
# A session that was deleted is nobody's at once, and its approvals with it.
_OF_OWNER: Final = _BY_ID.join(sessions, sessions.c.id == approvals.c.session_id).where(
    sessions.c.owner == bindparam("owner"), sessions.c.owner != NOBODY
)
_PENDING: Final = approvals.c.status == "pending"
_PENDING_OF_TURN: Final = select(approvals.c.id).where(approvals.c.turn_id == bindparam("turn_id"), _PENDING)
_WAITING: Final = (
    select(approvals)
    .where(approvals.c.owner == bindparam("owner"), _PENDING)
    .order_by(approvals.c.id)
    .limit(bindparam("limit"))
)
_EXPIRED: Final = (
    select(approvals.c.id)
    .where(_PENDING, approvals.c.expires_at <= utc_us())
    .order_by(approvals.c.expires_at)
    .limit(bindparam("limit"))
)
_DECIDE: Final = (
    update(approvals)
    .where(approvals.c.id == bindparam("of_id"))
    .values(status=bindparam("status"), decided_at=bindparam("decided_at"))
)
_ALLOW: Final = text(
    "INSERT INTO preferences (owner, name, value) VALUES (:owner, :name, :value) ON CONFLICT (owner, name) DO NOTHING"
)
_PREFERENCE: Final = select(preferences.c.name).where(
    preferences.c.owner == bindparam("owner"), preferences.c.name == bindparam("name")
)
