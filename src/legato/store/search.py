"""The index of what was said and of titles: it follows the messages, and what is removed leaves no term in it.

An entry is written in the message's own transaction. When a message is removed, its entry is marked in that transaction, and
nobody finds it any more; what it left in the index is taken out in slices, so that no token waits for it: by ``clean``, or
sooner by those who erase, with ``forget_session``.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, func, insert, select, update

from legato.core.model import FilePart, Message, Part, TextPart
from legato.core.words import words
from legato.store import scrubbing
from legato.store.dialect import is_postgresql, utc_us
from legato.store.rows import to_us
from legato.store.schema import NOBODY, sessions
from legato.store.schema import search_entries as entries
from legato.store.search_terms import take_out, vector
from legato.store.separators import scrub

_SLICE: Final = 250  # terms: 10 ms on SQLite
_MANY: Final = 10_000  # PostgreSQL's vacuum does the work


def note(conn: Connection, message: Message) -> None:
    """Let a message that was just put be found; one that still says nothing will be noted when it does."""
    said = words_of(message)
    if said:
        owner = conn.execute(_OWNER, {"session_id": message.session_id}).scalar_one()
        enter(conn, owner, message, said)


def note_changed(conn: Connection, message: Message) -> None:
    """Follow a message that was replaced. A person's is as it was sent: only its place changes."""
    if message.role == "user" or message.status == "in_progress":
        return
    said = words_of(message)
    known = {"session_id": message.session_id, "message_id": message.id}
    row = conn.execute(_OWNER_AND_ENTRY, known).one()
    if row.words == said or (row.words is None and not said):
        return
    if row.words is not None:
        conn.execute(_MARK_MESSAGES, {"ids": [message.id]})
    if said:
        enter(conn, row.owner, message, said)


def note_rewritten(conn: Connection, message: Message) -> None:
    """Follow a message whose person has changed it while it waited."""
    gone(conn, [message.id])
    note(conn, message)


def note_title(conn: Connection, session_id: str, owner: str, title: str | None) -> None:
    """Let a session be found by its title from now on, and by no earlier one. To be called wherever a title is set."""
    conn.execute(_MARK_TITLE, {"session": session_id})
    if said := " ".join(words(title or "")):
        at = conn.execute(select(utc_us())).scalar_one()
        values = {"session_id": session_id, "message_id": None, "role": None, "created_at": at}
        _insert(conn, owner, values, said)


def gone(conn: Connection, message_ids: Sequence[str]) -> None:
    """Nobody finds these messages any more."""
    conn.execute(_MARK_MESSAGES, {"ids": message_ids})


def forget_session(conn: Connection, session_id: str, limit: int = 1_000) -> int:
    """Take a slice of a session's entries (its messages' and its title's) out of the index: at most ``limit``, and no more than
    about 10 ms of work; how many there were.

    To be called in transactions of their own until it returns 0, before or after the messages themselves are deleted, whoever
    the session belongs to by then.
    """
    return _take_slice(conn, _FORGETTABLE.where(entries.c.session_id == session_id).limit(limit))


def clean(conn: Connection) -> bool:
    """Take a slice (about 10 ms) of all that is marked as gone out of the index; whether nothing was left to do."""
    return not _take_slice(conn, _FORGETTABLE.where(entries.c.gone).limit(100))


def is_untidy(conn: Connection) -> bool:
    """Whether something that was removed is in the index still."""
    return conn.execute(_UNTIDY).first() is not None


def _take_slice(conn: Connection, found: Select[Any]) -> int:
    touched, left = 0, _MANY if is_postgresql(conn) else _SLICE
    terms: list[str] = []
    # Of several processes each takes what no other is at.
    for row in conn.execute(found.order_by(entries.c.id).with_for_update(skip_locked=True)).all():
        taken = take_out(conn, row, left)
        terms += taken
        touched += 1
        left -= len(taken)
        if left <= 0:
            break
    if terms and not is_postgresql(conn):
        scrub(conn, terms)
        scrubbing.want(conn)
    return touched


def words_of(message: Message) -> str:
    """The words of a message and the names of its files, parted by spaces.

    What a model only thought is not said, nor what we made somebody ask for.
    """
    if message.status == "in_progress" or message.message_type == "continue":
        return ""
    return " ".join(words(findable(message.parts)))


def findable(parts: Iterable[Part]) -> str:
    """What of a message can be found."""
    return "\n".join(
        part.text if isinstance(part, TextPart) else part.name
        for part in parts
        if isinstance(part, TextPart | FilePart)
    )


def enter(conn: Connection, owner: str, message: Message, said: str) -> None:
    values: dict[str, object] = {
        "session_id": message.session_id,
        "message_id": message.id,
        "role": message.role,
        "created_at": to_us(message.created_at),
    }
    _insert(conn, owner, values, said)


def _insert(conn: Connection, owner: str, values: Mapping[str, object], said: str) -> None:
    key = owner_key(owner)
    entry = {**values, "owner_key": key, "words": said, "gone": False}
    if is_postgresql(conn):
        conn.execute(_INSERT, {**entry, "terms": vector(key, said)})
    else:
        conn.execute(_INSERT_NEXT, entry)


@lru_cache(maxsize=10_000)
def owner_key(owner: str) -> str:
    """What the owner's words in the index begin with. Who shares it with another by chance finds nothing by that."""
    return hashlib.blake2b(owner.encode(), digest_size=4).hexdigest()


_INSERT: Final = insert(entries).inline()
# While it is imported, a session is nobody's yet.
_WHOSE: Final = func.coalesce(func.nullif(sessions.c.owner, NOBODY), sessions.c.former_owner, NOBODY).label("owner")
_OWNER: Final = select(_WHOSE).where(sessions.c.id == bindparam("session_id"))
_OWNER_AND_ENTRY: Final = (
    select(_WHOSE, entries.c.words)
    .select_from(
        sessions.outerjoin(entries, (entries.c.message_id == bindparam("message_id")) & ~entries.c.gone),
    )
    .where(sessions.c.id == bindparam("session_id"))
)
_UNTIDY: Final = select(entries.c.id).where(entries.c.gone).limit(1)
_FORGETTABLE: Final = select(entries.c.id, entries.c.owner_key, entries.c.words)
_MARK: Final = update(entries).values(gone=True)
_MARK_MESSAGES: Final = _MARK.where(entries.c.message_id.in_(bindparam("ids", expanding=True)))
_OF_SESSION: Final = entries.c.session_id == bindparam("session")
_MARK_TITLE: Final = _MARK.where(_OF_SESSION, entries.c.message_id.is_(None), ~entries.c.gone)
# SQLite has no sequences, and one writer.
_INSERT_NEXT: Final = _INSERT.values(id=select(func.coalesce(func.max(entries.c.id), 0) + 1).scalar_subquery())
