"""Trimming: a session keeps its newest messages, the oldest go, whole turns at a time (promise S-10).

The active branch is cut before a turn's first message, which becomes the root of what is kept; whatever does not hang on it
goes, side branches too. A pinned message stays, and so does what came after it. Readers are told what was removed; of the
removed turns the journal keeps the endings, not a word of what was said. The keys that make sends idempotent stay for the
session's life.

What goes is looked up in a read, however long the session is (``plan``), and removed in short writes (``cut``). In between
the session goes on: a cut that its session has outrun changes nothing. No turn that runs or waits loses a message.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, or_, select

from legato.core.errors import SessionNotFound
from legato.core.events import MessageEvent
from legato.store import approvals, chores, journal, messages, pinning, scrubbing, summaries
from legato.store.ending import last_finished
from legato.store.locked import lock
from legato.store.port import Row
from legato.store.schema import NOBODY, sends, sessions, turns
from legato.store.schema import messages as table
from legato.store.turns import unfinished

_SLICE: Final = 100  # messages that one transaction removes, give or take a turn
_SLICE_SEQS: Final = 20_000  # and what they may take of the journal


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """What one transaction removes: messages before the ``root`` to be, and the words of turns, each with its seqs.

    ``elsewhere`` are the last seqs of other turns' rows that tell of these messages, too.
    """

    root: str
    gone: tuple[str, ...]
    turns: Mapping[str, tuple[int, int]]
    elsewhere: tuple[int, ...]


class Plan(msgspec.Struct, frozen=True):
    """The slices, the oldest first, as long as the session's epoch is this one.

    ``blocked``: something that runs or waits needs what should go.
    """

    epoch: int
    slices: tuple[Slice, ...] = ()
    blocked: bool = False


class Trimmed(msgspec.Struct, frozen=True):
    """What was appended: nothing, where the session has gone on since the plan was made."""

    rows: tuple[Row, ...] = ()


def plan(conn: Connection, session_id: str, limit: int) -> Plan:
    """What must go for the active branch to have at most ``limit`` messages, or those of its last turn.

    Raises:
        SessionNotFound: it has been deleted.
    """
    session = conn.execute(_SESSION, {"session_id": session_id}).first()
    if session is None:
        raise SessionNotFound
    if session.quarantined_at is not None:
        return Plan(session.epoch)
    tree = {row.id: row for row in conn.execute(_TREE, {"session_id": session_id})}
    branch = _branch(tree, session.leaf_id)
    starts = _starts(branch)
    fitting = [at for at in starts if len(branch) - at <= limit]
    if len(branch) <= limit or not starts or (end := fitting[0] if fitting else starts[-1]) == 0:
        return Plan(session.epoch)
    hanging = _hanging(tree, branch[: end + 1])
    end = _up_to_pins(hanging, starts, end, {row.id for row in tree.values() if row.pinned})
    if end == 0:
        return Plan(session.epoch)
    told = _turns_of(conn, session_id)
    busy = {row.id for row in unfinished(conn, session_id)}
    gone = {message_id for ids in hanging[:end] for message_id in ids}
    if not busy.isdisjoint(_concerned(tree, told, gone)):
        return Plan(session.epoch, blocked=True)
    elsewhere = list(_elsewhere(conn, session, told))
    slices = [
        _slice(
            tree, told, elsewhere, [message_id for ids in hanging[first:last] for message_id in ids], branch[last].id
        )
        for first, last in _ranges(tree, told, hanging, starts, end)
    ]
    return Plan(session.epoch, tuple(slices))


def cut(conn: Connection, session_id: str, epoch: int, what: Slice) -> Trimmed:
    """Remove a slice of a plan that was made in this epoch.

    Raises:
        SessionNotFound: it has been deleted.
    """
    session = lock(conn, session_id, None)
    gone = set(what.gone)
    if (
        session.quarantined
        or session.epoch != epoch
        or not _needed(conn, session_id).isdisjoint(gone)
        or pinning.any_of(conn, gone)
        or messages.parent_of(conn, what.root) not in gone
    ):
        return Trimmed()
    messages.remove(conn, what.gone)
    messages.make_root(conn, what.root)
    if summaries.forget_all(conn, session_id):  # each told of what was first
        chores.ask(conn, session_id, "summary")
    last = {turn.id for turn in last_finished(conn, session_id)}
    journal.bury_turns(conn, session_id, {id_: seqs for id_, seqs in what.turns.items() if id_ not in last})
    for turn_id in last & what.turns.keys():
        journal.bury_words(conn, session_id, turn_id, what.turns[turn_id][0] - 1)
    journal.bury_told(conn, session_id, what.elsewhere, gone)
    approvals.forget(conn, what.turns)
    scrubbing.want(conn)
    session.append([MessageEvent("removed", message_id) for message_id in what.gone])
    return Trimmed(session.save())


def _needed(conn: Connection, session_id: str) -> set[str | None]:
    """The messages that something which runs or waits answers, or will hang on."""
    rows = unfinished(conn, session_id)
    edits = [row.message_id for row in rows if row.kind == "edit" and row.status == "queued"]
    return {row.message_id for row in rows} | {messages.parent_of(conn, message_id) for message_id in edits}


def _branch(tree: Mapping[str, Any], leaf_id: str | None) -> list[Any]:
    """The active branch, oldest first."""
    path, at = [], leaf_id
    while at is not None and at in tree:
        path.append(tree[at])
        at = tree[at].parent_id
    return path[::-1]


def _starts(branch: Sequence[Any]) -> list[int]:
    """Where turns begin: with what a user asked. What is steered, and what is answered again, stays with what was asked."""
    return [at for at, row in enumerate(branch) if at == 0 or (row.role == "user" and row.asked in (row.id, None))]


def _hanging(tree: Mapping[str, Any], branch: Sequence[Any]) -> list[list[str]]:
    """Each message of the branch with what hangs on it beside the branch; what hangs on none of them is with the first."""
    children = defaultdict(list)
    for row in tree.values():
        children[row.parent_id if row.parent_id in tree else None].append(row.id)
    on_branch = {row.id for row in branch}
    hanging = [_below(children, row.id, on_branch) for row in branch]
    for root_id in children[None]:
        if root_id not in on_branch:
            hanging[0] += _below(children, root_id, on_branch)
    return hanging


def _up_to_pins(hanging: Sequence[Sequence[str]], starts: Sequence[int], end: int, pins: set[str]) -> int:
    """Where to cut instead of ``end``: what is pinned stays, and what came after it."""
    first = next((at for at, ids in enumerate(hanging[:end]) if not pins.isdisjoint(ids)), end)
    return max((at for at in starts if at <= first), default=0)


def _below(children: Mapping[str | None, Sequence[str]], message_id: str, but: set[str]) -> list[str]:
    found = [message_id]
    for at in found:
        found += [child for child in children.get(at, ()) if child not in but]
    return found


def _ranges(
    tree: Mapping[str, Any], told: "_Turns", hanging: Sequence[Sequence[str]], starts: Sequence[int], end: int
) -> Iterator[tuple[int, int]]:
    """The branch up to ``end`` in pieces that begin with turns, each small enough for a transaction."""
    first, count, seqs = 0, 0, 0
    stops = [at for at in starts if 0 < at <= end]
    for begin, stop in zip([0, *stops], stops, strict=False):
        ids = [message_id for piece in hanging[begin:stop] for message_id in piece]
        count += len(ids)
        seqs += sum(last - at for at, last in told.seqs(_concerned(tree, told, ids)).values())
        if stop == end or count >= _SLICE or seqs >= _SLICE_SEQS:
            yield first, stop
            first, count, seqs = stop, 0, 0


class _Turns:
    """The session's turns: by id, and by the message that they answer."""

    def __init__(self, rows: Sequence[Any], accepted: Mapping[str, int]) -> None:
        self.rows = {row.id: row for row in rows}
        self._accepted = accepted
        self.answering: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            self.answering[row.message_id].append(row.id)

    def seqs(self, turn_ids: Iterable[str]) -> dict[str, tuple[int, int]]:
        """From where to where in the journal they speak. What nobody has sent has its seq of acceptance as its rank; an
        import speaks once."""
        ends = {turn_id: self.rows[turn_id].done_seq or 0 for turn_id in turn_ids}
        return {turn_id: (min(self._begins(turn_id), end), end) for turn_id, end in ends.items()}

    def _begins(self, turn_id: str) -> int:
        return self._accepted[turn_id] if turn_id in self._accepted else abs(self.rows[turn_id].rank)


def _concerned(tree: Mapping[str, Any], told: _Turns, message_ids: Iterable[str]) -> set[str]:
    """The turns that said these messages, brought them, or answer them."""
    found: set[str] = set()
    for message_id in message_ids:
        found.update(told.answering.get(message_id, ()))
        if tree[message_id].turn_id in told.rows:
            found.add(tree[message_id].turn_id)
    return found


def _slice(
    tree: Mapping[str, Any], told: _Turns, elsewhere: Sequence[tuple[int, set[str]]], gone: Sequence[str], root_id: str
) -> Slice:
    named = tuple(seq for seq, ids in elsewhere if not ids.isdisjoint(gone))
    return Slice(root=root_id, gone=tuple(gone), turns=told.seqs(_concerned(tree, told, gone)), elsewhere=named)


def _elsewhere(conn: Connection, session: Any, told: _Turns) -> Iterator[tuple[int, set[str]]]:
    """Rows, by their last seq, that may tell of other turns' messages, and of which: a retry and an edit bring back what leads
    to them, an import tells last what its leaf is, and so does who switches to another branch."""
    away = [row for row in told.rows.values() if row.kind in ("retry", "edit")]
    rows = journal.rows_at(conn, session.id, [row.start_seq for row in away if row.start_seq is not None])
    for row in [*rows, *journal.rows_of_no_turn(conn, session.id)]:
        if ids := journal.messages_told(row):
            yield row.last_seq, ids


def _turns_of(conn: Connection, session_id: str) -> _Turns:
    sent = conn.execute(_SENT, {"session_id": session_id})
    return _Turns(conn.execute(_TURNS, {"session_id": session_id}).all(), {row.turn_id: row.cursor_seq for row in sent})


_SESSION: Final = select(
    sessions.c.id, sessions.c.leaf_id, sessions.c.epoch, sessions.c.imported_from, sessions.c.quarantined_at
).where(sessions.c.id == bindparam("session_id"), sessions.c.owner != NOBODY)
# What waits has no place in the tree yet, unless it is an edit.
_TREE: Final = (
    select(
        table.c.id, table.c.parent_id, table.c.turn_id, table.c.role, table.c.pinned, turns.c.message_id.label("asked")
    )
    .join(turns, turns.c.id == table.c.turn_id, isouter=True)
    .where(
        table.c.session_id == bindparam("session_id"), or_(table.c.status != "queued", table.c.parent_id.is_not(None))
    )
)
_SENT: Final = select(sends.c.turn_id, sends.c.cursor_seq).where(sends.c.session_id == bindparam("session_id"))
_TURNS: Final = select(
    turns.c.id, turns.c.message_id, turns.c.kind, turns.c.rank, turns.c.start_seq, turns.c.done_seq
).where(turns.c.session_id == bindparam("session_id"))
