"""Erasing: a deleted session is nobody's at once, and then its content goes, a slice a transaction (guarantee G12).

What is authorised is authorised by owner, so a session whose owner is ``NOBODY`` can't be read, listed, locked or claimed: it
is there only for the chore ``erase``, which takes away row by row what hangs on it, and it last. Whoever dies on the way has
left the chore, and what is left of the session.
"""

import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Delete,
    Integer,
    Select,
    bindparam,
    delete,
    func,
    literal,
    select,
    update,
)

from legato.store import attaching, chores, scrubbing, search
from legato.store import memories as facts
from legato.store.dialect import locked
from legato.store.ending import Ending, Meter, end_open
from legato.store.locked import Locked, lock
from legato.store.schema import NOBODY, journal, memories, messages, sends, sessions, summaries, turns
from legato.store.schema import chores as chore_table
from legato.store.turns import open_turn

#: One slice removes at most so much content, give or take a row: each of its pages is written anew.
SLICE_BYTES: Final = 128 * 1024


class Gone(msgspec.Struct, frozen=True):
    """A session that nobody can reach any more: whose it was, and which of its turns were ended."""

    session_id: str
    owner: str
    turn_ids: tuple[str, ...]


def remove(conn: Connection, session_id: str, owner: str, meter: Meter) -> Gone:
    """Make an owner's session unreachable and have it erased.

    Raises:
        SessionNotFound.
    """
    return make_unreachable(conn, lock(conn, session_id, owner), meter, "deleted")


def make_unreachable(conn: Connection, session: Locked, meter: Meter, reason: str) -> Gone:
    """End what runs or waits in a locked session (``cancelled``, for this reason), make it nobody's, have it erased.

    Short, however long the session is. The caller publishes it (``Publisher.gone``) once it is committed.
    """
    facts.alone(conn, session.owner)
    ended = _end_all(session, meter, reason)
    facts.remove_all(conn, session.id)
    conn.execute(_CHORES, {"session_id": session.id})
    chores.ask(conn, session.id, "erase")
    session.raise_epoch()
    session.move_leaf(None)
    session.touch()
    session.change(owner=NOBODY, former_owner=session.owner, **_BLANK)
    session.save()
    scrubbing.want(conn)
    return Gone(session.id, session.owner, ended)


# No index holds it any more, and none of its owner's things is taken by it: another one may have its context.
_BLANK: Final[dict[str, Any]] = {
    "title": None,
    "title_source": None,
    "closed_at": None,
    "archived_at": None,
    "pinned": False,
    "keep": False,
    "memory": False,
    "context": None,
    "imported_from": None,
    "forked_from": None,
    "forked_message_id": None,
    "metadata": "{}",
}


def _end_all(session: Locked, meter: Meter, reason: str) -> tuple[str, ...]:
    """The running turn as always, as it is to be paid for; those that wait all at once, as nobody will read of it."""
    conn, ended = session.conn, []
    if (running := open_turn(conn, session.id)) is not None:
        ended.append(end_open(session, running, Ending(status="cancelled", reason=reason), meter).id)
    waiting = conn.execute(_END_WAITING, {"id_of": session.id, "why": reason, "now": session.now})
    return (*ended, *waiting.scalars())


_CHORES: Final = delete(chore_table).where(chore_table.c.session_id == bindparam("session_id"))
_END_WAITING: Final = (
    update(turns)
    .where(turns.c.session_id == bindparam("id_of"), turns.c.status == "queued")
    .values(status="cancelled", reason=bindparam("why"), finished_at=bindparam("now"))
    .returning(turns.c.id)
)


class Slice(msgspec.Struct, frozen=True):
    """What one transaction has erased: how many rows, whether they were the last, and the processor's time it took here."""

    rows: int
    last: bool
    took_s: float


def erase(conn: Connection, session_id: str, limit: int) -> Slice:
    """Remove up to ``limit`` rows of what hangs on a session that nobody can reach any more; nothing where it is somebody's."""
    began_s, rows, size = time.thread_time(), 0, 0
    if conn.execute(_NOBODYS, {"session_id": session_id}).first() is None:
        return Slice(0, last=True, took_s=time.thread_time() - began_s)
    if taken := search.forget_session(conn, session_id, limit):
        scrubbing.want(conn)
        return Slice(taken, last=False, took_s=time.thread_time() - began_s)
    if taken := attaching.forget_session(conn, session_id, limit):
        return Slice(taken, last=False, took_s=time.thread_time() - began_s)
    for find, drop in _CONTENT:
        if rows < limit and size < SLICE_BYTES:
            chosen, taken = choose(
                conn.execute(find, {"session_id": session_id, "some": limit - rows}), SLICE_BYTES - size
            )
            if chosen:
                conn.execute(drop, {"session_id": session_id, "chosen": chosen})
                scrubbing.want(conn)
            rows, size = rows + len(chosen), size + taken
    return Slice(rows, rows < limit and size < SLICE_BYTES, time.thread_time() - began_s)


def forget(conn: Connection, session_id: str) -> None:
    """Remove the row of a session that has been erased, and its chore with it."""
    conn.execute(delete(sessions).where(sessions.c.id == session_id, sessions.c.owner == NOBODY))


def choose(found: Iterable[Any], most_bytes: int) -> tuple[list[Any], int]:
    """The first of these rows that come to so many bytes, by their keys, and what they come to."""
    chosen: list[Any] = []
    size = 0
    for key, length in found:
        chosen.append(key)
        size += length
        if size >= most_bytes:
            break
    return chosen, size


def _of(key: Column[Any], size: ColumnElement[int]) -> tuple[Select[Any], Delete]:
    """How some rows of a session's are found, each with its size, and how they are removed by their keys."""
    mine = key.table.c.session_id == bindparam("session_id")
    find = select(key, size).where(mine).limit(bindparam("some", type_=Integer))
    drop = delete(key.table).where(key.in_(bindparam("chosen", expanding=True)))
    # An id is enough, and more is too much: SQLite would go through all of the session's to find those with these ids.
    return find, drop if key.name == "id" else drop.where(mine)


# Locked, so that nobody is given what is about to be erased (``store.importing``).
_NOBODYS: Final = locked(
    select(sessions.c.id).where(sessions.c.id == bindparam("session_id"), sessions.c.owner == NOBODY)
)
_CONTENT: Final = (
    _of(messages.c.id, func.length(messages.c.parts)),
    _of(journal.c.last_seq, func.length(journal.c.payload)),
    _of(memories.c.id, func.length(memories.c.text)),
    _of(summaries.c.message_id, func.length(summaries.c.text)),
    _of(turns.c.id, literal(0)),
    _of(sends.c.client_message_id, literal(0)),
)
