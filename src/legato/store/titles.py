"""Titles that nobody has chosen: what one is made from, and giving it to a session that has none (promise T-01)."""

from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, func, select

from legato.core.errors import Corrupted
from legato.core.events import SessionEvent
from legato.core.model import FilePart, Message, Session, TextPart, TitleSource
from legato.store import messages, search
from legato.store.locked import lock
from legato.store.rows import to_session
from legato.store.schema import NOBODY, sessions, turns
from legato.store.sessions import Changed

_MOST_HOPS: Final = 20  # turns that continue one another


class Untitled(msgspec.Struct, frozen=True):
    """A session without a title, how it began, and its first reader's language.

    ``question`` and ``answer`` are empty where they can't be read, or where nothing of the kind stands there any more.
    """

    session: Session
    question: str
    answer: str
    locale: str | None


def untitled(conn: Connection, session_id: str) -> Untitled | None:
    """What a title is made from; None for a session that is gone, has one, or is in quarantine."""
    row = conn.execute(select(sessions).where(sessions.c.id == session_id, sessions.c.owner != NOBODY)).first()
    if row is None or row.title is not None or row.quarantined_at is not None:
        return None
    locale = conn.execute(_LOCALE, {"session_id": session_id}).scalar()
    first = conn.execute(_FIRST_ANSWERED, {"session_id": session_id}).first()
    question, answer = ("", "") if first is None else (_text(conn, _asked(conn, first)), _text(conn, first.answer_id))
    return Untitled(to_session(row), question, answer, locale)


def entitle(conn: Connection, session_id: str, title: str, source: TitleSource) -> Changed | None:
    """Give a session its title; None where it has one by now, from whomever.

    It is no activity: a session does not move in the lists, nor live longer, for a title.

    Raises:
        SessionNotFound.
    """
    session = lock(conn, session_id, None)
    if session.known.title is not None:
        return None
    session.change(title=title, title_source=source)
    search.note_title(conn, session_id, session.owner, title)
    named = session.session()
    session.append([SessionEvent(named)])
    return Changed(named, session.save())


def _asked(conn: Connection, turn: Any) -> str:
    """The message that the person wrote: a turn that goes on after another one answers that one's."""
    for _ in range(_MOST_HOPS):
        if turn.kind != "continue":
            break
        turn = conn.execute(_TURN, {"id": turn.source_turn_id}).first() or turn
    return str(turn.message_id)


def _text(conn: Connection, message_id: str) -> str:
    try:
        message: Message | None = messages.get(conn, message_id)
    except Corrupted:
        return ""
    if message is None:
        return ""
    said = "".join(part.text for part in message.parts if isinstance(part, TextPart))
    return said if said.strip() else " ".join(part.name for part in message.parts if isinstance(part, FilePart))


# Both walk along ``ix_turns_session_done``: however long the session is, they are found where it begins.
_DONE: Final = (
    select(turns)
    .where(turns.c.session_id == bindparam("session_id"), turns.c.done_seq.is_not(None))
    .order_by(turns.c.done_seq)
    .limit(1)
)
_FIRST_ANSWERED: Final = _DONE.where(
    turns.c.status == "completed", turns.c.kind != "welcome", func.coalesce(turns.c.reason, "") != "steered"
)
_LOCALE: Final = _DONE.with_only_columns(turns.c.locale).where(turns.c.locale.is_not(None))
_TURN: Final = select(turns).where(turns.c.id == bindparam("id"))
