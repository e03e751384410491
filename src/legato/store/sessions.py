"""Sessions: create, find, list, change, sum up."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, func, insert, select, tuple_
from sqlalchemy.exc import IntegrityError

from legato.core.errors import BadCursor, SessionExists, SessionNotFound
from legato.core.events import SessionEvent
from legato.core.model import Session, Stats, Usage
from legato.store import chores, finding, search, welcoming
from legato.store import messages as active
from legato.store.chores import Kind
from legato.store.dialect import utc_us
from legato.store.listing import SessionStatus, has_status
from legato.store.locked import lock, readable
from legato.store.messages import NOT_CLEARED
from legato.store.port import Row
from legato.store.rows import to_json, to_session, to_time
from legato.store.schema import NOBODY, messages, sessions, turns
from legato.store.welcoming import Welcome

# What a list's cursor says, and nothing that a database could choke on: last activity and id.
_PLACE: Final = re.compile(r"([0-9]{1,18})\.(ses_[0-9a-z]{26})")


class NewSession(msgspec.Struct, frozen=True, kw_only=True):
    """What a session begins with; with a ``welcome`` the agent speaks first."""

    id: str
    owner: str
    agent_id: str
    agent_name: str
    parent_role: str | None = None
    model_id: str | None = None
    title: str | None = None
    context: str | None = None
    imported_from: str | None = None
    metadata: dict[str, Any] = {}
    welcome: Welcome | None = None


class Changed(msgspec.Struct, frozen=True):
    """A session as a change left it, and what the change appended."""

    session: Session
    rows: tuple[Row, ...]


def create(conn: Connection, new: NewSession) -> Changed:
    """A new, empty session.

    Raises:
        SessionExists: the id is taken.
    """
    values = msgspec.structs.asdict(new) | {"metadata": to_json(new.metadata)}
    del values["welcome"]
    now = conn.execute(select(utc_us())).scalar_one()
    stamps: dict[str, object] = {"created_at": now, "last_activity": now, "head": 0, "epoch": 0}
    stamps |= {
        "pinned": False,
        "keep": False,
        "memory": True,
        "title": new.title or None,
        "title_source": "person" if new.title else None,
    }
    try:
        conn.execute(insert(sessions).values(values | stamps))
    except IntegrityError as error:
        raise SessionExists from error
    if new.title:
        search.note_title(conn, new.id, new.owner, new.title)
    found = lock(conn, new.id, new.owner)
    if new.welcome is not None:
        found.touch()  # its turn is accepted an instant after the session
    session = found.session()
    found.append([SessionEvent(session)])
    if new.welcome is not None:
        welcoming.accept(found, new.welcome)
    return Changed(session, found.save())


def change(
    conn: Connection, session_id: str, owner: str, values: dict[str, Any], asked: Mapping[Kind, int] | None = None
) -> Changed:
    """Set any of title, pinned, keep, memory, metadata, and the booleans ``archived`` and ``closed``.

    ``asked``: what the session then waits for, each with the delay in microseconds.
    """
    found = lock(conn, session_id, owner)
    columns: dict[str, Any] = {key: values[key] for key in ("title", "pinned", "keep", "memory") if key in values}
    if "title" in columns:
        columns["title"] = columns["title"] or None
        columns["title_source"] = "person" if columns["title"] else None
        search.note_title(conn, session_id, found.owner, columns["title"])
    if "metadata" in values:
        columns["metadata"] = to_json(values["metadata"])
    for flag in ("archived", "closed"):
        # Who closes what is closed changes nothing, its time neither.
        if flag in values and values[flag] == (getattr(found.known, f"{flag}_at") is None):
            columns[f"{flag}_at"] = found.now if values[flag] else None
    if columns.get("memory") and not found.known.memory:
        # What was said while it was off is not remembered, wherever in the tree it stands.
        columns |= {"remembered_id": found.leaf_id, "memory_since": found.now}
    if columns:
        found.change(**columns)
    session = found.session()
    found.append([SessionEvent(session)])
    chores.ask_all(conn, session_id, asked or {}, found.now)
    return Changed(session, found.save())


def get(conn: Connection, session_id: str, owner: str) -> Session:
    return to_session(readable(conn, session_id, owner))


def owned_by_anybody(conn: Connection, session_id: str) -> Session:
    """For the engine's own duties. Raises SessionNotFound."""
    row = conn.execute(select(sessions).where(sessions.c.id == session_id)).first()
    if row is None:
        raise SessionNotFound
    return to_session(row)


class Page(msgspec.Struct, frozen=True):
    """One page of a list, which of its sessions have a running turn, and the way to the next."""

    data: tuple[Session, ...]
    running: tuple[str, ...]
    next: str | None


def page(
    conn: Connection,
    owner: str,
    *,
    status: SessionStatus | None = None,
    agent_id: str | None = None,
    context: str | None = None,
    text: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page:
    """An owner's sessions, newest activity first. ``text``: those in whose title or messages it is found.

    Raises:
        BadCursor: the cursor is not from here.
    """
    query = select(sessions).where(sessions.c.owner == owner, sessions.c.owner != NOBODY)
    if text is not None:
        found = finding.sessions_with(conn, owner, text)
        if found is None:
            return Page((), (), None)
        # Hidden from SQLite's planner, which else walks all of the owner's: these are looked up by their keys.
        query = select(sessions).where(
            func.coalesce(sessions.c.owner, "") == owner, sessions.c.id.in_(found), sessions.c.owner != NOBODY
        )
    if status is not None:
        query = query.where(has_status(status))
    if context is not None:
        query = query.where(sessions.c.context == context)
    if agent_id is not None:
        # Few sessions are pinned: their index is walked, not the agent's, which SQLite would choose.
        column = func.coalesce(sessions.c.agent_id, "") if status == "pinned" else sessions.c.agent_id
        query = query.where(column == agent_id)
    if cursor is not None:
        query = query.where(tuple_(sessions.c.last_activity, sessions.c.id) < tuple_(*_parse(cursor)))
    query = query.order_by(sessions.c.last_activity.desc(), sessions.c.id.desc()).limit(limit + 1)
    rows = conn.execute(query).all()
    more = len(rows) > limit
    page = tuple(to_session(row) for row in rows[:limit])
    return Page(page, _running(conn, [session.id for session in page]), _write(rows[limit - 1]) if more else None)


def _running(conn: Connection, session_ids: Sequence[str]) -> tuple[str, ...]:
    found = select(turns.c.session_id).where(turns.c.session_id.in_(session_ids), turns.c.status == "in_progress")
    return tuple(conn.execute(found).scalars())


def _write(row: Any) -> str:
    return base64.urlsafe_b64encode(f"{row.last_activity}.{row.id}".encode()).decode()


def _parse(cursor: str) -> tuple[int, str]:
    try:
        found = _PLACE.fullmatch(base64.urlsafe_b64decode(cursor).decode())
    except (binascii.Error, ValueError) as error:
        raise BadCursor from error
    if found is None:
        raise BadCursor
    return int(found[1]), found[2]


def stats(conn: Connection, session_id: str, owner: str) -> Stats:
    """Sums over the session: every message that stands in it, on whatever branch, every turn that was ever answered in it."""
    row = readable(conn, session_id, owner)
    count = select(func.count()).select_from(messages).where(messages.c.session_id == session_id, NOT_CLEARED)
    columns = (turns.c.prompt_tokens, turns.c.completion_tokens, turns.c.cached_tokens, turns.c.cost_usd)
    sums = [func.coalesce(func.sum(column), 0) for column in columns[:3]]
    total = conn.execute(
        select(
            func.count(),
            *sums,
            func.sum(columns[3]),
            func.count().filter(turns.c.estimated),
        ).where(turns.c.session_id == session_id)
    ).one()
    now = conn.execute(select(utc_us())).scalar_one()
    prompt, completion, cached = (int(value) for value in total[1:4])
    usage = Usage(prompt, completion, cached, prompt + completion, total[4], bool(total[5]))
    return Stats(
        session_id=session_id,
        message_count=conn.execute(count).scalar_one(),
        active_count=len(active.branch_ids(conn, row.leaf_id)),
        turn_count=total[0],
        usage=usage,
        age_s=(now - row.created_at) / 1_000_000,
        last_activity=to_time(row.last_activity),
    )


def owners(conn: Connection, session_ids: Sequence[str]) -> dict[str, tuple[str, bool]]:
    """Whose sessions these are, or were, and whether they have been deleted."""
    columns = (sessions.c.id, sessions.c.owner, sessions.c.former_owner)
    found = conn.execute(select(*columns).where(sessions.c.id.in_(session_ids)))
    return {row.id: (row.owner or row.former_owner, row.owner == NOBODY) for row in found}
