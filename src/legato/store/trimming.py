"""Trimming: a session keeps its newest messages, the oldest go, whole turns at a time (promise S-10).

The active branch is cut before a turn's first message, which becomes the root of what is kept; whatever does not hang on it
goes, side branches too. In the journal the removed turns keep how they ran and ended, not a word of what was said; the keys
that make sends idempotent stay for the session's life. A session in which something runs or waits is left for later.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, select

from legato.core.events import Event, MessageEvent
from legato.store import journal, messages, scrubbing
from legato.store.locked import lock
from legato.store.port import Row
from legato.store.schema import messages as table
from legato.store.schema import turns
from legato.store.turns import unfinished

_SLICE: Final = 200  # messages that one transaction removes, give or take a turn


class Trimmed(msgspec.Struct, frozen=True):
    """Whether there is more to remove, and what was appended."""

    more: bool = False
    rows: tuple[Row, ...] = ()


def trim(conn: Connection, session_id: str, limit: int) -> Trimmed:
    """Remove the oldest turns of a session while its active branch has more than ``limit`` messages without them.

    Raises:
        SessionNotFound, Corrupted.
    """
    session = lock(conn, session_id, None)
    if unfinished(conn, session_id):
        return Trimmed()
    tree = {row.id: row for row in conn.execute(_TREE, {"session_id": session_id})}
    branch = _branch(tree, session.leaf_id)
    wanted = _cut(branch, limit)
    if wanted == 0:
        return Trimmed()
    cut = min(wanted, _boundary(branch, _SLICE, wanted))
    root = branch[cut]
    kept = _below(tree.values(), root.id)
    gone = [message_id for message_id in tree if message_id not in kept]
    messages.remove(conn, gone)
    first = messages.get(conn, root.id)
    events: list[Event] = [MessageEvent("removed", message_id) for message_id in gone]
    if first is not None:
        first = msgspec.structs.replace(first, parent_id=None)
        messages.replace(conn, first)
        events.append(MessageEvent("changed", first.id, first))
    for turn_id in _turns_of(conn, session_id, gone, {tree[message_id].turn_id for message_id in gone}):
        journal.bury_words(conn, session_id, turn_id)
    scrubbing.want(conn)
    session.append(events)
    return Trimmed(cut < wanted, session.save())


def _branch(tree: dict[str, Any], leaf_id: str | None) -> list[Any]:
    """The active branch, oldest first."""
    path, at = [], leaf_id
    while at is not None and at in tree:
        path.append(tree[at])
        at = tree[at].parent_id
    return path[::-1]


def _cut(branch: Sequence[Any], limit: int) -> int:
    """How many of the branch's messages go: to the first turn from which on there are no more than ``limit``, or the last."""
    starts = [at for at in range(len(branch)) if _begins_turn(branch, at)]
    fitting = [at for at in starts if len(branch) - at <= limit]
    return 0 if len(branch) <= limit or not starts else (fitting or starts)[0 if fitting else -1]


def _boundary(branch: Sequence[Any], least: int, otherwise: int) -> int:
    """The first turn's beginning with at least so many messages before it."""
    return next((at for at in range(least, len(branch)) if _begins_turn(branch, at)), otherwise)


def _begins_turn(branch: Sequence[Any], at: int) -> bool:
    """A user's message of another turn than the one before it: what answers again, or is steered, stays with what was asked."""
    return at == 0 or (branch[at].role == "user" and branch[at].turn_id != branch[at - 1].turn_id)


def _below(tree: Iterable[Any], root_id: str) -> set[str]:
    children = defaultdict(list)
    for row in tree:
        children[row.parent_id].append(row.id)
    kept, left = {root_id}, [root_id]
    while left:
        found = children[left.pop()]
        kept.update(found)
        left += found
    return kept


def _turns_of(conn: Connection, session_id: str, message_ids: Sequence[str], turn_ids: set[str]) -> set[str]:
    """The turns that said these messages or brought them: a steered message came with a turn of its own."""
    return turn_ids | set(conn.execute(_BROUGHT, {"session_id": session_id, "ids": message_ids}).scalars())


_TREE: Final = select(table.c.id, table.c.parent_id, table.c.turn_id, table.c.role).where(
    table.c.session_id == bindparam("session_id")
)
_BROUGHT: Final = select(turns.c.id).where(
    turns.c.session_id == bindparam("session_id"), turns.c.message_id.in_(bindparam("ids", expanding=True))
)
