"""The bytes of files, in pieces: written, read and taken away in slices that no token waits for.

An owner's equal files share one content. Who refers to a content that he has not locked a reference to (an upload of what is
there already) locks its row; who takes the last reference away does so, too, and looks again.
"""

import zlib
from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection, Integer, bindparam, delete, exists, func, insert, select, update

from legato.core.errors import Corrupted, Unavailable
from legato.core.files import PIECE_BYTES
from legato.core.ids import new_id
from legato.store import scrubbing
from legato.store.dialect import locked, utc_us
from legato.store.schema import file_contents as contents
from legato.store.schema import file_pieces as pieces
from legato.store.schema import files

_SLICE: Final = 4  # pieces that one transaction takes away: each page of theirs is written anew


def ready(conn: Connection, owner: str, digest: str) -> str | None:
    """The content of an owner's with this digest, locked: it stays until this transaction has ended."""
    return conn.execute(_READY, {"owner": owner, "digest": digest}).scalar()


def used_bytes(conn: Connection, owner: str) -> int:
    """What an owner's files take, with those that are coming."""
    return sum(conn.execute(query, {"owner": owner}).scalar_one() for query in _USED)


def begin(conn: Connection, owner: str, digest: str, size: int) -> str:
    """A content that is to come; its id."""
    content_id = new_id("cnt")
    conn.execute(_BEGIN, {"id": content_id, "owner": owner, "digest": digest, "size": size, "state": "coming"})
    return content_id


def put(conn: Connection, content_id: str, number: int, payload: bytes) -> None:
    """Write a piece (number 0, 1, …) of a content that is coming.

    Raises:
        Unavailable: it took so long that it was given up.
    """
    if conn.execute(_COMING, {"id": content_id}).first() is None:
        raise Unavailable("It took too long; try again.")
    values = {"content_id": content_id, "number": number, "payload": payload}
    conn.execute(_PUT, {**values, "crc": _crc(content_id, number, payload)})


def finish(conn: Connection, content_id: str) -> None:
    """All of it is there. Raises Unavailable: as ``put``."""
    if conn.execute(_FINISH, {"content": content_id}).rowcount != 1:
        raise Unavailable("It took too long; try again.")


def abandon(conn: Connection, content_id: str) -> None:
    """Nobody goes on with it."""
    conn.execute(_ABANDON.where(contents.c.id == content_id))
    scrubbing.want(conn)


def abandon_old(conn: Connection, before_us: int) -> int:
    """Give up what somebody began to write before then, and died; how many there were."""
    count = conn.execute(_ABANDON.where(contents.c.created_at < before_us)).rowcount
    if count:
        scrubbing.want(conn)
    return count


def let_go(conn: Connection, content_ids: Iterable[str]) -> None:
    """Files that had these contents were removed just now: what no other file has is nobody's any more."""
    ids = sorted(set(content_ids))
    if not ids:
        return
    scrubbing.want(conn)
    for at in range(0, len(ids), _MANY):
        some = {"ids": ids[at : at + _MANY]}
        conn.execute(_LOCK, some).all()  # before it is looked whether others have them; in one order everywhere
        conn.execute(_LET_GO, some)


def read(conn: Connection, content_id: str, size: int, first: int, most: int) -> list[bytes]:
    """At most ``most`` pieces from number ``first`` on. Raises Corrupted: they are not what was written."""
    wanted = range(first, min(first + most, count_of(size)))
    found = conn.execute(_READ, {"id": content_id, "first": wanted.start, "end": wanted.stop}).all()
    for number, row in zip(wanted, found, strict=False):
        if row.crc != _crc(content_id, number, row.payload):
            raise Corrupted("a stored file does not match its checksum", content_id=content_id)
    if len(found) != len(wanted):
        raise Corrupted("a piece of a stored file is missing", content_id=content_id)
    return [bytes(row.payload) for row in found]


def is_whole(conn: Connection, content_id: str, size: int) -> bool:
    """Whether all of it is what was written; read a piece at a time."""
    try:
        for number in range(count_of(size)):
            read(conn, content_id, size, number, 1)
    except Corrupted:
        return False
    return True


def count_of(size: int) -> int:
    """How many pieces so many bytes make."""
    return -(-size // PIECE_BYTES)


def is_untidy(conn: Connection) -> bool:
    """Whether something that nobody has any more is there still."""
    return conn.execute(_GONE).first() is not None


def clean(conn: Connection) -> bool:
    """Take away a slice (some ms) of what nobody has any more; whether nothing was left to do."""
    content_id = conn.execute(_GONE.with_for_update(skip_locked=True)).scalar()
    if content_id is None:
        return True
    taken = list(conn.execute(_SOME, {"id": content_id}).scalars())
    if taken:
        conn.execute(_TAKE, {"id": content_id, "taken": taken})
    else:
        conn.execute(delete(contents).where(contents.c.id == content_id))
    scrubbing.want(conn)
    return False


def _crc(content_id: str, number: int, payload: bytes) -> int:
    """Bound to its place: a piece of another content is none of this."""
    return zlib.crc32(payload, zlib.crc32(f"{content_id} {number}".encode()))


_MANY: Final = 500

_OWNED: Final = contents.c.owner == bindparam("owner")
_READY: Final = locked(
    select(contents.c.id).where(_OWNED, contents.c.digest == bindparam("digest"), contents.c.state == "ready")
)
_SIZES: Final = select(func.coalesce(func.sum(contents.c.size), 0)).where(_OWNED)
_USED: Final = tuple(_SIZES.where(contents.c.state == state) for state in ("ready", "coming"))
_BEGIN: Final = insert(contents).values(created_at=utc_us())
_COMING: Final = select(contents.c.id).where(contents.c.id == bindparam("id"), contents.c.state == "coming")
_PUT: Final = insert(pieces)
_FINISH: Final = (
    update(contents).where(contents.c.id == bindparam("content"), contents.c.state == "coming").values(state="ready")
)
_ABANDON: Final = update(contents).where(contents.c.state == "coming").values(state="gone")
_IDS: Final = contents.c.id.in_(bindparam("ids", expanding=True))
_LOCK: Final = select(contents.c.id).where(_IDS).order_by(contents.c.id).with_for_update()
_LET_GO: Final = (
    update(contents)
    .where(_IDS, contents.c.state == "ready", ~exists().where(files.c.content_id == contents.c.id))
    .values(state="gone")
)
_OF: Final = pieces.c.content_id == bindparam("id")
_READ: Final = (
    select(pieces)
    .where(_OF, pieces.c.number >= bindparam("first", type_=Integer), pieces.c.number < bindparam("end", type_=Integer))
    .order_by(pieces.c.number)
)
_GONE: Final = select(contents.c.id).where(contents.c.state == "gone").limit(1)
_SOME: Final = select(pieces.c.number).where(_OF).limit(_SLICE)
_TAKE: Final = delete(pieces).where(_OF, pieces.c.number.in_(bindparam("taken", expanding=True)))
