"""Files of owners (promise S-18): kept, looked at, read, removed. What belongs to messages is in ``attaching``."""

from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, bindparam, delete, exists, insert, or_, select

from legato.core.errors import FileInUse, FileNotFound, FilesFull
from legato.core.files import File
from legato.core.ids import new_id
from legato.store import file_contents
from legato.store.dialect import hold, utc_us
from legato.store.rows import to_time
from legato.store.schema import file_contents as contents
from legato.store.schema import files, messages, sessions, turns
from legato.store.ticks import Boot, tick


class NewFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file to be kept, as it was sniffed."""

    owner: str
    name: str
    media_type: str
    size: int
    digest: str
    tokens: int


def begin(conn: Connection, new: NewFile, most_bytes: int) -> File | str:
    """The file, where its owner has its content already; else the id of a content that is to be written.

    Raises:
        FilesFull: with it, the owner would have more than ``most_bytes``.
    """
    hold(conn, f"files {new.owner}")
    if (content_id := file_contents.ready(conn, new.owner, new.digest)) is not None:
        return _enter(conn, new, content_id)
    used = file_contents.used_bytes(conn, new.owner)
    if used + new.size > most_bytes:
        raise FilesFull(limit=most_bytes, used=used, needed=new.size)
    return file_contents.begin(conn, new.owner, new.digest, new.size)


def finish(conn: Connection, new: NewFile, content_id: str) -> File:
    """The file, whose content is written. Where the owner has got the same meanwhile, that one stays.

    Raises:
        Unavailable: it took so long that it was given up.
    """
    hold(conn, f"files {new.owner}")
    known = file_contents.ready(conn, new.owner, new.digest)
    if known is not None:
        file_contents.abandon(conn, content_id)
    else:
        file_contents.finish(conn, content_id)
    return _enter(conn, new, known or content_id)


def get(conn: Connection, file_id: str, owner: str) -> File:
    """Raises FileNotFound."""
    return to_file(_row(conn, file_id, owner))


def read(conn: Connection, file_id: str, owner: str, first: int, most: int) -> list[bytes]:
    """At most ``most`` pieces of its content from number ``first`` on. Raises FileNotFound, Corrupted."""
    row = _row(conn, file_id, owner)
    return file_contents.read(conn, row.content_id, row.size, first, most)


def read_in_session(conn: Connection, file_id: str, session_id: str, first: int, most: int) -> list[bytes] | None:
    """``read`` for whoever runs a turn of a session; None where the session has no such file any more."""
    row = conn.execute(_IN_SESSION, {"id": file_id, "session_id": session_id}).first()
    return None if row is None else file_contents.read(conn, row.content_id, row.size, first, most)


def damaged(conn: Connection, session_id: str) -> list[str]:
    """Those of a session's files whose bytes are not what was written."""
    rows = conn.execute(_OF_SESSION, {"session_id": session_id}).all()
    whole = {row.content_id: row.size for row in rows}
    whole = {content_id: file_contents.is_whole(conn, content_id, size) for content_id, size in whole.items()}
    return [row.id for row in rows if not whole[row.content_id]]


def remove(conn: Connection, file_id: str, owner: str) -> None:
    """Raises FileNotFound; FileInUse: a message has it."""
    row = conn.execute(_LOCKED, {"ids": [file_id], "owner": owner}).first()
    if row is None:
        raise FileNotFound
    if row.session_id is not None:
        raise FileInUse
    conn.execute(delete(files).where(files.c.id == file_id))
    file_contents.let_go(conn, [row.content_id])


def get_in_session(conn: Connection, file_id: str, session_id: str) -> File | None:
    """A file of a session that was authorised before; None where it has no such file any more."""
    row = conn.execute(_IN_SESSION, {"id": file_id, "session_id": session_id}).first()
    return None if row is None else to_file(row)


class Swept(msgspec.Struct, frozen=True):
    """How many were removed, and by how much the clock is wrong at worst: nothing is removed then."""

    count: int
    jumped_s: float = 0.0


def sweep(conn: Connection, boot: Boot, unused_us: int, coming_us: int, limit: int) -> Swept:
    """Remove at most ``limit`` files that no message has had for ``unused_us``, and what has been coming for ``coming_us``."""
    told = tick(conn, "files", boot, unused_us)
    if not told.sane:
        return Swept(0, told.jumped_s)
    rows = conn.execute(_UNUSED, {"before": told.now_us - unused_us, "some": limit}).all()
    if rows:
        conn.execute(delete(files).where(files.c.id.in_([row.id for row in rows])))
        file_contents.let_go(conn, [row.content_id for row in rows])
    return Swept(len(rows) + file_contents.abandon_old(conn, told.now_us - coming_us))


def to_file(row: Any) -> File:
    return File(
        id=row.id,
        name=row.name,
        media_type=row.media_type,
        size=row.size,
        digest=row.digest,
        tokens=row.tokens,
        created_at=to_time(row.created_at),
        session_id=row.session_id,
        message_id=row.message_id,
    )


def locked_rows(conn: Connection, file_ids: list[str], owner: str) -> dict[str, Any]:
    """Those of these files that the owner has, with size and digest, by their ids; they stay until the transaction ends."""
    return {row.id: row for row in conn.execute(_LOCKED, {"ids": file_ids, "owner": owner})}


def _row(conn: Connection, file_id: str, owner: str) -> Any:
    row = conn.execute(_ONE, {"id": file_id, "owner": owner}).first()
    if row is None:
        raise FileNotFound
    return row


def _enter(conn: Connection, new: NewFile, content_id: str) -> File:
    file_id = new_id("fil")
    values = {"id": file_id, "owner": new.owner, "content_id": content_id, "name": new.name}
    conn.execute(_INSERT, {**values, "media_type": new.media_type, "tokens": new.tokens})
    return get(conn, file_id, new.owner)


def _whole() -> Select[Any]:
    return select(files, contents.c.size, contents.c.digest).join(contents, contents.c.id == files.c.content_id)


def _owned() -> ColumnElement[bool]:
    """A file of a session that has been deleted, and is being erased, is nobody's either."""
    its_session = exists().where(sessions.c.id == files.c.session_id, sessions.c.owner == files.c.owner)
    return (files.c.owner == bindparam("owner")) & or_(files.c.session_id.is_(None), its_session & ~_cleared())


def _cleared() -> ColumnElement[bool]:
    """Its message is about to be taken away, as its session was cleared (``store.clearing``)."""
    return exists().where(
        messages.c.id == files.c.message_id,
        sessions.c.id == files.c.session_id,
        turns.c.id == messages.c.turn_id,
        turns.c.session_id == sessions.c.id,
        turns.c.done_seq <= sessions.c.cleared_seq,
    )


_INSERT: Final = insert(files).values(created_at=utc_us())
_ONE: Final = _whole().where(files.c.id == bindparam("id"), _owned())
_LOCKED: Final = (
    _whole()
    .where(files.c.id.in_(bindparam("ids", expanding=True)), _owned())
    .order_by(files.c.id)
    .with_for_update(of=files)
)
_IN_SESSION: Final = _whole().where(
    files.c.id == bindparam("id"), files.c.session_id == bindparam("session_id"), ~_cleared()
)
_OF_SESSION: Final = (
    select(files.c.id, files.c.content_id, contents.c.size)
    .join(contents, contents.c.id == files.c.content_id)
    .where(files.c.session_id == bindparam("session_id"), ~_cleared())
    .order_by(files.c.id)
)
_UNUSED: Final = (
    select(files.c.id, files.c.content_id)
    .where(files.c.session_id.is_(None), files.c.created_at < bindparam("before"))
    .order_by(files.c.created_at)
    .limit(bindparam("some"))
    .with_for_update(skip_locked=True)
)
