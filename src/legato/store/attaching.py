"""Files and the messages that they belong to. A file is one message's: another one that wants it gets one with the same bytes.

Whoever removes messages lets their files go in the same transaction; the bytes follow (``file_contents.clean``).
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from legato.core.errors import FileNotFound
from legato.core.ids import new_id
from legato.core.model import FilePart, Part
from legato.store import file_contents
from legato.store.files import locked_rows
from legato.store.schema import NOBODY, files, sessions


class Carried(NamedTuple):
    """A file that comes in with its message, by the id that it gets there, and the one whose bytes it has."""

    file_id: str
    source_id: str
    message_id: str


def looked_up(conn: Connection, owner: str, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """The parts with what is known of their files; until this transaction has ended these stay as they are.

    Raises:
        FileNotFound: there is none, or it is somebody else's.
    """
    wanted = [part.file_id for part in parts if isinstance(part, FilePart)]
    if not wanted:
        return parts
    found = locked_rows(conn, wanted, owner)
    for file_id in wanted:
        if file_id not in found:
            raise FileNotFound(file_id=file_id)
    return tuple(_part(found[part.file_id]) if isinstance(part, FilePart) else part for part in parts)


def spare(conn: Connection, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """The parts that ``looked_up`` has given, with files that no message has: for one that a message has, one with its bytes.

    To be called before anything is removed: what is sent again may be that message's.
    """
    known: dict[str, FilePart] = {}
    for part in parts:
        if isinstance(part, FilePart) and part.file_id not in known:
            known[part.file_id] = _spared(conn, part)
    return tuple(known[part.file_id] if isinstance(part, FilePart) else part for part in parts)


def attach(conn: Connection, session_id: str, message_id: str, parts: tuple[Part, ...]) -> None:
    """Let a message have the files of its parts, which ``spare`` has given."""
    ids = [part.file_id for part in parts if isinstance(part, FilePart)]
    if ids:
        conn.execute(_ATTACH, {"ids": ids, "session": session_id, "message": message_id})


def replace(
    conn: Connection, owner: str, session_id: str, message_id: str, parts: tuple[Part, ...]
) -> tuple[Part, ...]:
    """Let a message that waits have other parts than before: these, with its files of then gone.

    Raises:
        FileNotFound: a file is not there, or it is somebody else's.
    """
    parts = spare(conn, looked_up(conn, owner, parts))
    let_go(conn, [message_id])
    attach(conn, session_id, message_id, parts)
    return parts


def take_over(conn: Connection, session_id: str, carried: Sequence[Carried]) -> None:
    """Let messages of a session that comes in (an import, a fork) have files with the bytes of others of the same owner's.

    A source that no message has was kept for this, and goes. One that is not there any more, or is somebody else's, gives
    nothing: the part that names it leads nowhere then.
    """
    for each in carried:
        row = conn.execute(_SOURCE, {"id": each.source_id, "session_id": session_id}).first()
        if row is None:
            continue
        values = {"id": each.file_id, "session_id": session_id, "message_id": each.message_id}
        conn.execute(_INSERT, {**row._mapping, **values})
        if row.session_id is None:
            conn.execute(delete(files).where(files.c.id == row.id))


def let_go(conn: Connection, message_ids: Sequence[str]) -> None:
    """These messages are removed."""
    file_contents.let_go(conn, conn.execute(_OF_MESSAGES, {"ids": message_ids}).scalars())


def forget_session(conn: Connection, session_id: str, limit: int) -> int:
    """Remove at most ``limit`` files of a session that nobody can reach any more; how many there were."""
    rows = conn.execute(_SOME, {"session_id": session_id, "some": limit}).all()
    if rows:
        conn.execute(delete(files).where(files.c.id.in_([row.id for row in rows])))
        file_contents.let_go(conn, [row.content_id for row in rows])
    return len(rows)


def _part(row: Any) -> FilePart:
    return FilePart(row.id, row.name, row.media_type, row.size, row.tokens)


def _spared(conn: Connection, part: FilePart) -> FilePart:
    row = conn.execute(_LOCKED, {"id": part.file_id}).one()
    if row.session_id is None:
        return part
    copy = new_id("fil")
    conn.execute(_INSERT, {**row._mapping, "id": copy, "session_id": None, "message_id": None})
    return msgspec.structs.replace(part, file_id=copy)


_ATTACH: Final = (
    update(files)
    .where(files.c.id.in_(bindparam("ids", expanding=True)), files.c.session_id.is_(None))
    .values(session_id=bindparam("session"), message_id=bindparam("message"))
)
_LOCKED: Final = select(files).where(files.c.id == bindparam("id")).with_for_update()
# While it comes in, a session is nobody's yet.
_WHOSE: Final = select(func.coalesce(func.nullif(sessions.c.owner, NOBODY), sessions.c.former_owner)).where(
    sessions.c.id == bindparam("session_id")
)
_SOURCE: Final = _LOCKED.where(files.c.owner == _WHOSE.scalar_subquery())
_INSERT: Final = insert(files)
_REMOVE: Final = delete(files).returning(files.c.content_id)
_OF_MESSAGES: Final = _REMOVE.where(files.c.message_id.in_(bindparam("ids", expanding=True)))
_SOME: Final = (
    select(files.c.id, files.c.content_id).where(files.c.session_id == bindparam("session_id")).limit(bindparam("some"))
)
