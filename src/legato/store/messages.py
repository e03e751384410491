"""Messages: a tree by parent; the active branch is the walk from the session's leaf."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import CTE, Connection, Integer, Select, bindparam, delete, exists, insert, literal, select

from legato.core.model import ErrorInfo, Message
from legato.store import attaching, legible, search
from legato.store.rows import from_message, parts_crc, to_message
from legato.store.schema import messages, sessions, summaries, turns
from legato.store.statements import ROW, update_by_id

_AT_ONCE: Final = 500  # of the parameters of one statement
_INSERT: Final = insert(messages)
#: Of a message that is not about to be taken away, as its session was cleared (``store.clearing``).
NOT_CLEARED: Final = ~exists().where(
    sessions.c.id == messages.c.session_id,
    turns.c.id == messages.c.turn_id,
    turns.c.session_id == sessions.c.id,  # else a planner might join every session with every turn
    turns.c.done_seq <= sessions.c.cleared_seq,
)
_BY_ID: Final = select(messages).where(messages.c.id == bindparam("id"), NOT_CLEARED)
_BY_IDS: Final = select(messages).where(messages.c.id.in_(bindparam("ids", expanding=True)))
_PLACE: Final = select(
    messages.c.id, messages.c.parent_id, messages.c.turn_id, messages.c.role, messages.c.status
).where(messages.c.id == bindparam("id"), messages.c.session_id == bindparam("session_id"), NOT_CLEARED)
_OF_TURN: Final = select(messages).where(messages.c.turn_id == bindparam("turn_id"))


def put(conn: Connection, message: Message) -> None:
    """Insert a message that is new."""
    conn.execute(_INSERT, from_message(message))
    search.note(conn, message)


def replace(conn: Connection, message: Message) -> None:
    """Overwrite a message by its id."""
    _change(conn, message.id, from_message(message))
    search.note_changed(conn, message)


def get(conn: Connection, message_id: str) -> Message | None:
    row = conn.execute(_BY_ID, {"id": message_id}).first()
    return None if row is None else to_message(row)


def by_ids(conn: Connection, ids: Sequence[str]) -> dict[str, Message]:
    found = conn.execute(_BY_IDS, {"ids": ids})
    return {row.id: to_message(row) for row in found}


def each(conn: Connection, ids: Sequence[str]) -> Iterator[Message]:
    """These messages, in this order."""
    for at in range(0, len(ids), _AT_ONCE):
        found = by_ids(conn, ids[at : at + _AT_ONCE])
        yield from (found[each] for each in ids[at : at + _AT_ONCE])


def of_turn(conn: Connection, turn_id: str) -> list[Message]:
    """The messages of a turn, in no particular order."""
    return [to_message(row) for row in conn.execute(_OF_TURN, {"turn_id": turn_id})]


def places(conn: Connection, turn_id: str) -> dict[str, str | None]:
    """The parents of a turn's messages, by their ids; their content is not looked at."""
    found = conn.execute(select(messages.c.id, messages.c.parent_id).where(messages.c.turn_id == turn_id))
    return {row.id: row.parent_id for row in found}


def close_unread(conn: Connection, message_id: str, status: str, error: ErrorInfo | None) -> None:
    """End an answer whose words are lost: it stands there empty, with the error that says so."""
    values = {"status": status, "parts": "[]", "crc": parts_crc(message_id, "[]")}
    errors = {"error_code": error.code, "error_message": error.message} if error else {}
    _change(conn, message_id, values | errors)
    search.gone(conn, [message_id])


def place(conn: Connection, session_id: str, message_id: str) -> Any:
    """``id``, ``parent_id``, ``turn_id``, ``role`` and ``status`` of a session's message; None where it has no such."""
    return conn.execute(_PLACE, {"id": message_id, "session_id": session_id}).first()


def parent_of(conn: Connection, message_id: str) -> str | None:
    """None where there is no such message, too."""
    return conn.execute(select(messages.c.parent_id).where(messages.c.id == message_id)).scalar()


def make_root(conn: Connection, message_id: str) -> None:
    """Nothing is before it any more."""
    _change(conn, message_id, {"parent_id": None})


def mark_pinned(conn: Connection, message_id: str, *, pinned: bool) -> None:
    _change(conn, message_id, {"pinned": pinned})


def remove(conn: Connection, ids: Sequence[str]) -> None:
    conn.execute(delete(messages).where(messages.c.id.in_(ids)))
    conn.execute(delete(summaries).where(summaries.c.message_id.in_(ids)))
    search.gone(conn, ids)
    attaching.let_go(conn, ids)


def branch(conn: Connection, leaf_id: str | None, limit: int) -> list[Message]:
    """The ``limit`` newest messages of the branch that ends with ``leaf_id``, oldest first; 0 for all.

    Costs one key look-up a message, however long the session is.
    """
    if leaf_id is None:
        return []
    found = _BRANCH if limit else _WHOLE_BRANCH
    return [to_message(row) for row in conn.execute(found, {"leaf_id": leaf_id, "limit": limit})]


def beside(conn: Connection, leaf_id: str, other_leaf_id: str | None) -> list[str]:
    """The ids of a branch up to where it meets another one, oldest first; all of it where they never meet.

    Both are walked as far as the longer way to where they meet, and no further: mostly a few steps, however long they are.
    """
    mine, other = Climb(conn, leaf_id), Climb(conn, other_leaf_id)
    while (met := mine.meets(other)) is None and (mine.goes_on or other.goes_on):
        mine.climb()
        other.climb()
    return list(mine.places)[:met][::-1]


class Climb:
    """A walk towards the root in growing strides: the ids that it came by, each with its place (0 is the leaf's)."""

    def __init__(self, conn: Connection, leaf_id: str | None) -> None:
        self.places: dict[str, int] = {}
        self._conn = conn
        self._next = leaf_id
        self._stride = _FIRST_STRIDE

    @property
    def goes_on(self) -> bool:
        return self._next is not None

    def climb(self) -> None:
        if self._next is None:
            return
        rows = self._conn.execute(_CLIMB, {"leaf_id": self._next, "limit": self._stride}).all()
        self.places |= {row.id: at for at, row in enumerate(rows, len(self.places))}
        self._next = rows[-1].parent_id if len(rows) == self._stride else None
        self._stride = min(self._stride * 2, _LONGEST_STRIDE)

    def meets(self, other: "Climb") -> int | None:
        """The place of the first one that the other has come by, too."""
        common = self.places.keys() & other.places.keys()
        return min((self.places[each] for each in common), default=None)


def branch_legibly(conn: Connection, leaf_id: str | None, limit: int) -> list[Message]:
    """As ``branch``, for people alone: a damaged message stands there empty and says so."""
    if leaf_id is None:
        return []
    return [legible.message(row) for row in conn.execute(_LEGIBLY, {"leaf_id": leaf_id, "limit": limit})]


def branch_ids(conn: Connection, leaf_id: str | None) -> set[str]:
    """The ids of all messages of a branch."""
    return set() if leaf_id is None else set(conn.execute(_BRANCH_IDS, {"leaf_id": leaf_id}).scalars())


def _change(conn: Connection, message_id: str, values: dict[str, object]) -> None:
    conn.execute(update_by_id(messages, *values), {ROW: message_id, **values})


def ids_along() -> Select[Any]:
    """The ids of the branch that ends with ``:leaf_id``, oldest first."""
    walk = _walk(limited=False)
    return select(walk.c.id).order_by(walk.c.depth.desc())


def places_along() -> Select[Any]:
    """``id``, ``turn_id`` and ``status`` along the branch that ends with ``:leaf_id``, oldest first."""
    walk = _walk(limited=False)
    found = select(messages.c.id, messages.c.turn_id, messages.c.status)
    return found.join(walk, walk.c.id == messages.c.id).order_by(walk.c.depth.desc())


def _walk(*, limited: bool) -> CTE:
    """From the leaf ``:leaf_id`` towards the root: ``id``, ``parent_id`` and ``depth``, at most ``:limit`` of them or all."""
    walk = (
        select(messages.c.id, messages.c.parent_id, literal(0).label("depth"))
        .where(messages.c.id == bindparam("leaf_id"))
        .cte("walk", recursive=True)
    )
    step = select(messages.c.id, messages.c.parent_id, (walk.c.depth + 1).label("depth")).where(
        messages.c.id == walk.c.parent_id
    )
    return walk.union_all(step.where(walk.c.depth < bindparam("limit", type_=Integer) - 1) if limited else step)


def _climbing() -> Select[Any]:
    """``id`` and ``parent_id`` of at most ``:limit`` messages from the leaf ``:leaf_id`` on, the newest first."""
    walk = _walk(limited=True)
    return select(walk.c.id, walk.c.parent_id).order_by(walk.c.depth)


def _along(walk: CTE, *columns: Any) -> Select[Any]:
    """The messages of a walk, oldest first."""
    return select(*columns or (messages,)).join(walk, walk.c.id == messages.c.id).order_by(walk.c.depth.desc())


_BRANCH: Final = _along(_walk(limited=True))
_FIRST_STRIDE: Final = 16
_LONGEST_STRIDE: Final = 2048
_WHOLE_BRANCH: Final = _along(_walk(limited=False))
_LEGIBLY: Final = _along(_walk(limited=True), *legible.columns(messages))
_BRANCH_IDS: Final = select(_walk(limited=False).c.id)
_CLIMB: Final = _climbing()
