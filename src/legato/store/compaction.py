"""Compaction: when a turn is over and its replay window has passed, one snapshot takes the place of its tokens.

Before anything is replaced, the checksums hold and the fold of the tokens equals the projected message; otherwise the turn
is left as it is and reported. Seqs stay accounted for: tokens become tombstones, the last one of a message its snapshot.
"""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, select, update

from legato.core.errors import Corrupted
from legato.core.events import Event, MessageEvent, Snapshot, Token, decode_lines, encode_lines
from legato.core.fold import Fold
from legato.core.model import Message
from legato.store import journal, messages, quarantine
from legato.store.locked import lock
from legato.store.port import Row
from legato.store.rows import to_turn
from legato.store.schema import NOBODY, sessions, turns


def compactable(conn: Connection, ended_before_us: int, limit: int) -> list[tuple[str, str]]:
    """``(session_id, turn_id)`` of turns that ended before a time by the store's clock."""
    found = select(turns.c.session_id, turns.c.id).where(
        ~turns.c.compacted, turns.c.finished_at.is_not(None), turns.c.finished_at < ended_before_us
    )
    whole = sessions.c.owner != NOBODY, sessions.c.quarantined_at.is_(None)
    found = found.join(sessions, sessions.c.id == turns.c.session_id).where(*whole)
    return [(row.session_id, row.id) for row in conn.execute(found.order_by(turns.c.finished_at).limit(limit))]


def compact(conn: Connection, session_id: str, turn_id: str) -> bool:
    """Compact one turn; False when it is damaged and stays as it is, and its session goes into quarantine.

    Raises:
        SessionNotFound: it has been deleted.
    """
    session = lock(conn, session_id, None)
    row = conn.execute(select(turns).where(turns.c.id == turn_id)).one()
    if session.quarantined or row.compacted:
        return True  # somebody has met damage, or compacted it, since it was chosen
    replaced: list[Row] = []
    try:
        if (
            row.start_seq is not None and (row.done_seq or 0) > session.cleared_seq
        ):  # else it never ran, or all of it goes
            rows = journal.read_turn(conn, session.id, turn_id, row.start_seq)
            replaced = _compacted(conn, to_turn(row).id, rows)
    except Corrupted as error:
        quarantine.set_apart(session, quarantine.place_of(error))
        session.save()
        return False
    conn.execute(update(turns).where(turns.c.id == turn_id).values(compacted=True))
    for changed in replaced:
        journal.replace_payload(conn, changed)
    return True


_Lines = list[tuple[int, Event]]


def _compacted(conn: Connection, turn_id: str, rows: Sequence[Row]) -> list[Row]:
    lines: _Lines = [line for row in rows for line in decode_lines(row.first_seq, row.payload)]
    gone = {event.message_id for _, event in lines if isinstance(event, MessageEvent) and event.op == "removed"}
    last_token = {e.message_id: seq for seq, e in lines if isinstance(e, Token) and e.message_id not in gone}
    stored = {message.id: message for message in messages.of_turn(conn, turn_id)}
    standing = _fold(stored, lines, last_token)
    kept: dict[int, Event] = {seq: event for seq, event in lines if not isinstance(event, Token)}
    kept |= {seq: Snapshot(message=standing[seq]) for seq in last_token.values()}
    said = [row for row in rows if b"token " in row.payload]
    return [_rewritten(row, kept) for row in said]


def _fold(stored: dict[str, Message], lines: _Lines, last_token: dict[str, int]) -> dict[int, Message]:
    """Each message as it stood at its last token; raises Corrupted where the whole does not come to what is stored."""
    fold = Fold()
    standing: dict[int, Message] = {}
    for message in stored.values():
        fold.apply(MessageEvent("added", message.id, msgspec.structs.replace(message, parts=())))
    wanted = {seq: message_id for message_id, seq in last_token.items()}
    for seq, event in lines:
        fold.apply(event)
        if seq in wanted and (stands := fold.message(wanted[seq])) is not None:
            standing[seq] = stands
    for message_id in last_token:
        folded = fold.message(message_id)
        if folded is None or folded.parts != stored[message_id].parts:
            raise Corrupted("the journal and the message differ", message_id=message_id)
    return standing


def _rewritten(row: Row, kept: dict[int, Event]) -> Row:
    seqs = range(row.first_seq, row.last_seq + 1)
    lines = [encode_lines([kept[seq]]) if seq in kept else b"" for seq in seqs]
    return row._replace(payload=b"\n".join(lines))
