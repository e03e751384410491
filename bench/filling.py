"""Stores filled directly: what would take a server hours to be told."""

import random
import sqlite3
import time
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from legato.core.events import Token, encode_lines
from legato.core.ids import new_id
from legato.core.model import Message, TextPart
from legato.core.words import words
from legato.engine.usage import Estimate
from legato.providers.catalog import Catalog
from legato.store import accepting, claiming, ending, sessions, workers
from legato.store.journal import payload_crc
from legato.store.opening import open_store
from legato.store.rows import from_message, parts_crc, to_json, to_time
from legato.store.search import owner_key

OWNER: Final = "local"
AGENT: Final = "assistant"
_SESSIONS: Final = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)
INSERT INTO sessions (id, owner, agent_id, agent_name, title, title_source, created_at, last_activity, closed_at, archived_at,
    pinned, keep, memory, metadata, head, epoch)
SELECT 'ses_' || substr('0000000000000000000' || i, -19) || 'zzzzzzz',
    CASE WHEN i % 2 THEN 'local' ELSE 'owner' || (i % 500) END,
    CASE WHEN i % 20001 = 0 THEN 'scarce' WHEN i % 10 = 3 THEN 'writer' ELSE 'assistant' END,
    'Assistant', 'Conversation ' || i, 'person',
    :now - (:count - i) * 1000000, :now - (i * 7919 % :count) * 1000000,
    CASE WHEN i % 21 = 0 THEN :now END, CASE WHEN i % 33 = 0 THEN :now END,
    i % 20011 = 0, 0, 1, '{}', 0, 0
FROM n
"""


def meter() -> Estimate:
    return Estimate(catalog=Catalog(providers={}))


async def empty(path: Path) -> None:
    """A store of the current schema."""
    store = open_store(f"sqlite:///{path}")
    await store.start()
    await store.stop()


def many_sessions(path: Path, count: int) -> None:
    """``count`` sessions: half of them one owner's, the others' 250 owners'; a few closed, archived, pinned, of rare agents."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute(_SESSIONS, {"count": count, "now": time.time_ns() // 1000})
    connection.close()


def begin_turn(conn: Connection, worker_id: str, text: str) -> claiming.Claimed:
    """A session of its own and a running turn in it."""
    session = new_id("ses")
    sessions.create(conn, sessions.NewSession(id=session, owner=OWNER, agent_id=AGENT, agent_name="Assistant"))
    send = accepting.Send(
        session_id=session, owner=OWNER, client_message_id="first", body_hash="", parts=(TextPart(text),)
    )
    accepting.accept(conn, send, meter())
    claimed = claiming.claim(conn, session, claiming.Claimant(worker_id=worker_id, agents={AGENT: None}))
    if claimed is None:
        raise LookupError("nothing to claim")
    return claimed


_SYLLABLES: Final = [a + b for a in "bcdfghklmnprstv" for b in "aeiouåäö"]


def vocabulary(count: int) -> list[str]:
    """Words of one to four syllables, the same each time, to be said the less the later they come."""
    chance = random.Random(1)  # noqa: S311
    return ["".join(chance.choices(_SYLLABLES, k=chance.choice((1, 2, 2, 3, 3, 4)))) for _ in range(count)]


async def many_messages(path: Path, count: int, owners: int, vocabulary: list[str]) -> tuple[int, int]:
    """``count`` messages of 60 words and what finds them; each of ``owners`` has as many, in sessions of 20.

    How many bytes their words are, and the index of the search.
    """
    chance, now = random.Random(2), time.time_ns() // 1000  # noqa: S311
    weights = list(accumulate(1 / (rank + 2) for rank in range(len(vocabulary))))
    store = open_store(f"sqlite:///{path}")
    await store.start()
    for start in range(0, count, 5_000):
        said = [chance.choices(vocabulary, cum_weights=weights, k=60) for _ in range(5_000)]
        rows = [_told(start + at, owners, words, now) for at, words in enumerate(said)]
        await store.write(_tell, rows)
    sizes = await store.read(_sizes)
    await store.stop()
    return sizes


def _tell(conn: Connection, rows: list[tuple[tuple[Any, ...], ...]]) -> None:
    for at, statement in enumerate((_SESSION, _MESSAGE, _ENTRY)):
        conn.exec_driver_sql(statement, [row[at] for row in rows])


def _told(number: int, owners: int, said: list[str], now: int) -> tuple[tuple[Any, ...], ...]:
    owner = f"owner{number % owners}" if number % owners else OWNER
    session = f"ses_{number // (owners * 20):013}{number % owners:013}"
    message, at, text = f"msg_{number:026}", now - (10_000_000 - number) * 1_000_000, " ".join(said)
    parts, role = to_json((TextPart(text),)), "assistant" if number // owners % 2 else "user"
    return (
        (session, owner, now, at),
        (message, session, role, parts, at, parts_crc(message, parts)),
        (number + 1, session, message, owner_key(owner), role, at, " ".join(words(text))),
    )


def _sizes(conn: Connection) -> tuple[int, int]:
    said = conn.exec_driver_sql("SELECT sum(length(CAST(words AS BLOB))) FROM search_entries").scalar_one()
    index = conn.exec_driver_sql("SELECT sum(length(block)) FROM search_index_data").scalar_one()
    return int(said), int(index)


_SESSION: Final = """
INSERT OR IGNORE INTO sessions (id, owner, agent_id, agent_name, created_at, last_activity, pinned, keep, memory, metadata,
    head, epoch)
VALUES (?, ?, 'assistant', 'Assistant', ?, ?, 0, 0, 1, '{}', 0, 0)
"""
_MESSAGE: Final = """
INSERT INTO messages (id, session_id, turn_id, role, message_type, status, parts, created_at, crc)
VALUES (?, ?, '', ?, 'message', 'completed', ?, ?, ?)
"""
_ENTRY: Final = """
INSERT INTO search_entries (id, session_id, message_id, owner_key, role, created_at, words, gone)
VALUES (?, ?, ?, ?, ?, ?, ?, 0)
"""


async def long_journal(path: Path, events: int, per_row: int) -> str:
    """A finished turn of so many token events, so many in each row; its session."""
    store = open_store(f"sqlite:///{path}")
    await store.start()
    worker = new_id("wrk")
    await store.write(workers.register, worker)
    claimed = await store.write(begin_turn, worker, "Tell me everything.")
    await store.stop()
    _say(path, claimed, events, per_row)
    await store.start()
    end = ending.Ending(status="completed", reason="stop")
    await store.write(ending.finish, claimed.session.id, claimed.turn.id, claimed.epoch, end, meter())
    await store.write(workers.remove, worker)
    await store.stop()
    return claimed.session.id


def _say(path: Path, claimed: claiming.Claimed, events: int, per_row: int) -> None:
    session, turn, answer = claimed.session.id, claimed.turn.id, claimed.turn.answer_id or ""
    head = claimed.rows[-1].last_seq
    rows: list[tuple[Any, ...]] = []
    for number, start in enumerate(range(0, events, per_row), 1):
        tokens = [Token(turn, answer, 0, "text", f"{word:05} ") for word in range(start + 1, start + per_row + 1)]
        payload = encode_lines(tokens)
        first = head + start + 1
        crc = payload_crc(session, payload)
        rows.append(
            (session, first, first + per_row - 1, turn, claimed.epoch, number, time.time_ns() // 1000, crc, payload)
        )
    with sqlite3.connect(path) as connection:
        connection.executemany("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        connection.execute("UPDATE sessions SET head = head + ? WHERE id = ?", (len(rows) * per_row, session))
    connection.close()


async def long_history(path: Path, count: int) -> str:
    """A session whose active branch has so many messages; its id."""
    store = open_store(f"sqlite:///{path}")
    await store.start()
    session = new_id("ses")
    new = sessions.NewSession(id=session, owner=OWNER, agent_id=AGENT, agent_name="Assistant")
    await store.write(sessions.create, new)
    await store.stop()
    now, parent, rows = time.time_ns() // 1000, None, []
    for number in range(count):
        message = Message(
            id=new_id("msg"),
            session_id=session,
            turn_id=new_id("trn"),
            role="assistant" if number % 2 else "user",
            status="completed",
            parent_id=parent,
            created_at=to_time(now + number),
            parts=(TextPart(f"Message number {number}. " * 8),),
        )
        parent = message.id
        rows.append(from_message(message))
    with sqlite3.connect(path) as connection:
        names = list(rows[0])
        marks = ", ".join(f":{name}" for name in names)
        connection.executemany(f"INSERT INTO messages ({', '.join(names)}) VALUES ({marks})", rows)  # noqa: S608
        connection.execute("UPDATE sessions SET leaf_id = ? WHERE id = ?", (parent, session))
    connection.close()
    return session
