"""The journal: the ordered, gap-free, append-only log of a session's events.

Terms: a *row* is one commit of one session and covers the seqs first…last; rows of a session touch without gap or overlap.
An append moves the session's head and inserts the row in one transaction; a *batch* of a running turn does so only while
its epoch is the session's. What may go wrong: the commit's outcome is unknown (the batch's number finds the row that
entered), the owner was replaced (no row, and no error for its neighbours), a row rotted on disk (its checksum says so).
"""

import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Integer, bindparam, delete, func, insert, select, text, update

from legato.core.errors import Corrupted
from legato.core.events import Event, MessageEvent, TurnEvent, decode_event, decode_lines, encode_lines, split_lines
from legato.store.dialect import is_postgresql, utc_us
from legato.store.port import Batch, Row
from legato.store.schema import NOBODY, journal, sessions

READ_BYTES: Final = 1 << 20
_READ_ROWS: Final = 1000
_SMALL_ROW_BYTES: Final = (
    128  # rows of a single word are hardly smaller: no more of them are asked for than may be taken
)

_ENTER: Final = insert(journal).values(at=utc_us())
_ROWS: Final = (
    select(journal.c.session_id, journal.c.first_seq, journal.c.last_seq, journal.c.payload, journal.c.crc)
    .where(journal.c.session_id == bindparam("session_id"), journal.c.last_seq > bindparam("after"))
    .order_by(journal.c.last_seq)
)
_ROWS_OF_TURN: Final = _ROWS.where(journal.c.turn_id == bindparam("turn_id"))
_CLEARED: Final = select(sessions.c.cleared_seq).where(sessions.c.id == bindparam("session_id")).scalar_subquery()
_SOME_ROWS: Final = _ROWS.add_columns(func.coalesce(_CLEARED, 0)).limit(bindparam("some", type_=Integer))


def payload_crc(session_id: str, payload: bytes) -> int:
    """The checksum of a row, bound to its session."""
    return zlib.crc32(payload, zlib.crc32(session_id.encode()))


def insert_row(conn: Connection, row: Row, turn_id: str | None) -> None:
    """Enter a row whose range the caller has taken from the session's head."""
    values = {"first_seq": row.first_seq, "last_seq": row.last_seq, "turn_id": turn_id, "payload": row.payload}
    conn.execute(_ENTER, {"session_id": row.session_id, "crc": payload_crc(row.session_id, row.payload), **values})


def append_batches(conn: Connection, batches: Sequence[Batch]) -> list[Row | None]:
    """Commit each batch whose epoch is still its session's; None for the others. At most one batch a session."""
    if is_postgresql(conn):
        return _append_in_one_statement(conn, batches)
    return append_by_driver(conn.connection.driver_connection, batches)


def append_by_driver(connection: Any, batches: Sequence[Batch]) -> list[Row | None]:
    """``append_batches`` in a transaction that SQLAlchemy knows nothing of, for SQLite."""
    return [_append_one(connection.execute, batch) for batch in batches]


def _append_one(execute: Callable[..., Any], batch: Batch) -> Row | None:
    """By the driver itself: what SQLAlchemy adds to three statements is more than they cost (105 µs a row against 28)."""
    key = (batch.turn_id, batch.epoch, batch.number)
    if batch.again and (found := execute(_ENTERED, (batch.session_id, batch.after, *key)).fetchone()) is not None:
        return Row(batch.session_id, found[0], found[1], batch.payload)
    moved = execute(_MOVE_HEAD, (batch.count, batch.session_id, batch.epoch)).fetchone()
    if moved is None:
        return None
    head: int = moved[0]
    row = Row(batch.session_id, head - batch.count + 1, head, batch.payload)
    execute(_INSERT, (row.session_id, row.first_seq, head, *key, batch.crc, row.payload))
    return row


_ENTERED: Final = (
    "SELECT first_seq, last_seq FROM journal WHERE session_id = ? AND last_seq > ?"
    " AND turn_id = ? AND epoch = ? AND batch = ? ORDER BY last_seq DESC"
)
_MOVE_HEAD: Final = "UPDATE sessions SET head = head + ? WHERE id = ? AND epoch = ? RETURNING head"
_INSERT: Final = (
    "INSERT INTO journal (session_id, first_seq, last_seq, turn_id, epoch, batch, at, crc, payload)"
    " VALUES (?, ?, ?, ?, ?, ?, legato_now(), ?, ?)"
)

# One autocommitted statement for all sessions: a process stopped in its middle holds no lock, a stale epoch is a missing
# row, and locks are taken in the order of ids, so that two processes can't wait for each other.
_APPEND_ALL: Final = """
WITH input AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[], $7::bigint[])
        WITH ORDINALITY AS i (session_id, turn_id, epoch, number, n, payload, crc, place)
), entered AS (
    SELECT i.place, j.first_seq, j.last_seq FROM input i
    JOIN journal j ON j.turn_id = i.turn_id AND j.epoch = i.epoch AND j.batch = i.number AND j.batch IS NOT NULL
), locked AS MATERIALIZED (
    SELECT s.id FROM sessions s
    WHERE s.id IN (SELECT session_id FROM input WHERE place NOT IN (SELECT place FROM entered))
    ORDER BY s.id FOR UPDATE
), moved AS (
    UPDATE sessions s SET head = s.head + i.n FROM input i, locked l
    WHERE s.id = l.id AND s.id = i.session_id AND s.epoch = i.epoch
    RETURNING i.place, s.head - i.n + 1 AS first_seq, s.head AS last_seq
), inserted AS (
    INSERT INTO journal (session_id, first_seq, last_seq, turn_id, epoch, batch, at, crc, payload)
    SELECT i.session_id, m.first_seq, m.last_seq, i.turn_id, i.epoch, i.number,
        (extract(epoch from clock_timestamp()) * 1000000)::bigint, i.crc, i.payload
    FROM input i JOIN moved m ON m.place = i.place
)
SELECT place, first_seq, last_seq FROM moved UNION ALL SELECT place, first_seq, last_seq FROM entered
"""


def _append_in_one_statement(conn: Connection, batches: Sequence[Batch]) -> list[Row | None]:
    columns = (
        [b.session_id for b in batches],
        [b.turn_id for b in batches],
        [b.epoch for b in batches],
        [b.number for b in batches],
        [b.count for b in batches],
        [b.payload for b in batches],
        [b.crc for b in batches],
    )
    rows: list[Row | None] = [None] * len(batches)
    for place, first_seq, last_seq in conn.exec_driver_sql(_APPEND_ALL, columns):
        batch = batches[place - 1]
        rows[place - 1] = Row(batch.session_id, first_seq, last_seq, batch.payload)
    return rows


def read_rows(conn: Connection, session_id: str, after: int, limit_bytes: int = READ_BYTES) -> list[Row]:
    """The rows that hold something after ``after``, in order, up to about ``limit_bytes``; the caller has authorised it.

    What is whole before a damaged row is still given; who comes back for more is told.

    Raises:
        Corrupted: the next row is missing or does not match its checksum.
    """
    rows: list[Row] = []
    expected, size = after, 0
    salt = zlib.crc32(session_id.encode())
    some = max(16, min(_READ_ROWS, limit_bytes // _SMALL_ROW_BYTES))
    for _, first_seq, last_seq, payload, crc, cleared_seq in conn.execute(
        _SOME_ROWS, {"session_id": session_id, "after": after, "some": some}
    ):
        if last_seq <= cleared_seq:  # whole or not, nobody is told of it: it is about to be buried
            payload, crc = b"", salt
        if zlib.crc32(payload, salt) != crc or first_seq > max(expected, cleared_seq) + 1:
            if rows:
                break
            raise Corrupted(
                "a journal row is missing or does not match its checksum", session_id=session_id, after=expected
            )
        rows.append(Row(session_id, first_seq, last_seq, payload))
        expected, size = last_seq, size + len(payload)
        if size >= limit_bytes:
            break
    return rows


def read_turn(conn: Connection, session_id: str, turn_id: str, after: int) -> list[Row]:
    """All rows of one turn after a seq: what an open turn has said so far."""
    key = {"session_id": session_id, "turn_id": turn_id, "after": after}
    return [_checked(row) for row in conn.execute(_ROWS_OF_TURN, key)]


def whole_of_turn(conn: Connection, session_id: str, turn_id: str, after: int) -> list[Row]:
    """``read_turn`` up to the first row that is damaged."""
    rows: list[Row] = []
    for row in conn.execute(_ROWS_OF_TURN, {"session_id": session_id, "turn_id": turn_id, "after": after}):
        if payload_crc(row.session_id, row.payload) != row.crc:
            break
        rows.append(Row(row.session_id, row.first_seq, row.last_seq, bytes(row.payload)))
    return rows


def turn_events(rows: Iterable[Row]) -> Iterable[Event]:
    for row in rows:
        for _seq, event in decode_lines(row.first_seq, row.payload):
            yield event


def _checked(row: Any) -> Row:
    if payload_crc(row.session_id, row.payload) != row.crc:
        raise Corrupted("a journal row does not match its checksum", session_id=row.session_id, seq=row.first_seq)
    return Row(row.session_id, row.first_seq, row.last_seq, bytes(row.payload))


def bury(conn: Connection, session_id: str, last_seq: int) -> None:
    """Replace everything up to ``last_seq`` by one row of tombstones."""
    if last_seq == 0:
        return
    conn.execute(delete(journal).where(journal.c.session_id == session_id, journal.c.last_seq <= last_seq))
    insert_row(conn, Row(session_id, 1, last_seq, b""), None)


def bury_turn(conn: Connection, session_id: str, turn_id: str, after: int, but: int | None = None) -> None:
    """Leave only tombstones of what the turn said after a seq, ``but`` for the row that ends there; its seqs stay
    accounted for."""
    of_turn = journal.c.session_id == session_id, journal.c.turn_id == turn_id, journal.c.last_seq > after
    buried = update(journal).where(*of_turn, *(() if but is None else (journal.c.last_seq != but,)))
    conn.execute(buried.values(payload=b"", crc=payload_crc(session_id, b"")))


def silence(conn: Connection, session_id: str, last_seq: int, message_ids: Collection[str]) -> None:
    """Take the words of some messages out of the row that ends with a seq; that and where they stood is still told."""
    for row in rows_at(conn, session_id, [last_seq]):
        lines = row.payload.split(b"\n")
        for seq, event in _messages(row):
            if event.message_id in message_ids and event.message is not None:
                silent = msgspec.structs.replace(event.message, parts=(), client_message_id=None)
                lines[seq - row.first_seq] = encode_lines([msgspec.structs.replace(event, message=silent)])
        replace_payload(conn, row._replace(payload=b"\n".join(lines)))


def bury_messages(conn: Connection, session_id: str, turn_id: str) -> None:
    """Leave only tombstones of the messages that the turn told of; what became of it stays."""
    for row in read_turn(conn, session_id, turn_id, 0):
        lines = [b"" if line.startswith(b"message ") else line for line in row.payload.split(b"\n")]
        replace_payload(conn, row._replace(payload=b"\n".join(lines)))


def bury_turns(conn: Connection, session_id: str, seqs: Mapping[str, tuple[int, int]]) -> None:
    """Leave only tombstones of turns that spoke from a seq to the one of their end, and the endings."""
    if not seqs:
        return
    ends = [
        row._replace(payload=_only(row, _ENDINGS))
        for row in rows_at(conn, session_id, {last for _, last in seqs.values()})
    ]
    empty = {"session_id": session_id, "empty": b"", "empty_crc": payload_crc(session_id, b"")}
    told = [{"of_turn": turn_id, "first": first, "last": last, **empty} for turn_id, (first, last) in seqs.items()]
    conn.execute(_BURY, told)
    for row in ends:
        replace_payload(conn, row)


def bury_words(conn: Connection, session_id: str, turn_id: str, after: int) -> None:
    """Leave only tombstones of what was said in a turn after a seq; how it ran and ended stays."""
    for row in read_turn(conn, session_id, turn_id, after):
        replace_payload(conn, row._replace(payload=_only(row, (*_ENDINGS, b"turn "))))


def bury_told(conn: Connection, session_id: str, seqs: Collection[int], message_ids: Collection[str]) -> None:
    """Leave only tombstones of some messages in the rows that end with these seqs."""
    for row in rows_at(conn, session_id, seqs):
        seqs = {seq for seq, event in _messages(row) if event.message_id in message_ids}
        lines = row.payload.split(b"\n")
        kept = [b"" if seq in seqs else line for seq, line in enumerate(lines, row.first_seq)]
        replace_payload(conn, row._replace(payload=b"\n".join(kept)))


def messages_told(row: Row) -> set[str]:
    """The ids of the messages that a row tells about."""
    return {event.message_id for _, event in _messages(row)}


def _messages(row: Row) -> Iterable[tuple[int, MessageEvent]]:
    for seq, name, data in split_lines(row.first_seq, row.payload):
        if name == b"message":
            event = decode_event("message", data)
            if isinstance(event, MessageEvent) and event.message is not None:
                yield seq, event


def rows_at(conn: Connection, session_id: str, last_seqs: Collection[int]) -> list[Row]:
    """The rows that end with these seqs, without those that are damaged."""
    found: list[Row] = []
    for some in _parts_of(sorted(last_seqs)):
        rows = conn.execute(_ROWS_AT, {"session_id": session_id, "seqs": some})
        found += _whole(rows)
    return found


def rows_of_no_turn(conn: Connection, session_id: str) -> list[Row]:
    """What was said of the session itself."""
    return _whole(conn.execute(_ROWS.where(journal.c.turn_id.is_(None)), {"session_id": session_id, "after": 0}))


def _whole(rows: Iterable[Any]) -> list[Row]:
    return [
        Row(row.session_id, row.first_seq, row.last_seq, bytes(row.payload))
        for row in rows
        if payload_crc(row.session_id, row.payload) == row.crc
    ]


def _parts_of(seqs: Sequence[int]) -> Iterable[Sequence[int]]:
    return (seqs[at : at + _AT_ONCE] for at in range(0, len(seqs), _AT_ONCE))


def _only(row: Row, kinds: tuple[bytes, ...]) -> bytes:
    """Its lines of these kinds, and tombstones; without the words that an agent chose for what it was doing."""
    lines = [line if line.startswith(kinds) else b"" for line in row.payload.split(b"\n")]
    return b"\n".join(_without_detail(line) if line.startswith(b"turn ") else line for line in lines)


def _without_detail(line: bytes) -> bytes:
    event = decode_event("turn", line.partition(b" ")[2])
    assert isinstance(event, TurnEvent)  # noqa: S101 - by its name
    return encode_lines([TurnEvent(msgspec.structs.replace(event.turn, phase=None, detail=None))])


_AT_ONCE: Final = 500  # of the parameters of one statement
_ENDINGS: Final = (b"usage ", b"done ")
_ROWS_AT: Final = select(
    journal.c.session_id, journal.c.first_seq, journal.c.last_seq, journal.c.payload, journal.c.crc
).where(journal.c.session_id == bindparam("session_id"), journal.c.last_seq.in_(bindparam("seqs", expanding=True)))
_BURY: Final = text(
    "UPDATE journal SET payload = :empty, crc = :empty_crc"
    " WHERE session_id = :session_id AND last_seq BETWEEN :first AND :last AND turn_id = :of_turn"
)


def replace_payload(conn: Connection, row: Row) -> None:
    """Give a row other content for the same seqs (compaction)."""
    conn.execute(
        update(journal)
        .where(journal.c.session_id == row.session_id, journal.c.last_seq == row.last_seq)
        .values(payload=row.payload, crc=payload_crc(row.session_id, row.payload))
    )


def heads(conn: Connection, session_ids: Sequence[str]) -> dict[str, int]:
    """How far these sessions' journals go now; deleted ones are missing."""
    there = sessions.c.id.in_(session_ids), sessions.c.owner != NOBODY
    rows = conn.execute(select(sessions.c.id, sessions.c.head).where(*there))
    return {row.id: row.head for row in rows}
