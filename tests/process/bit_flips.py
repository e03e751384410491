"""What rots on a disk: one bit of what is stored falls over, behind the back of whoever serves the database."""

from pathlib import Path
from typing import Any, Final, Literal

import asyncpg

from legato.store.sqlite import _dbapi

Place = Literal["journal", "messages"]

# The row that holds the words, and its content; the bit to flip is in the middle of the words.
_FIND: Final = {
    "journal": "SELECT last_seq, payload FROM journal WHERE session_id = {session}",
    "messages": "SELECT id, parts FROM messages WHERE session_id = {session}",
}
_PUT: Final = {
    "journal": "UPDATE journal SET payload = {content} WHERE session_id = {session} AND last_seq = {key}",
    "messages": "UPDATE messages SET parts = {content} WHERE session_id = {session} AND id = {key}",
}


async def flip(url: str, place: Place, session_id: str, words: str, *, bit: int = 1) -> str:
    """Flips a bit of the first stored row that says ``words``; what the row says now instead."""
    change = _in_file if url.startswith("sqlite") else _in_postgresql
    return await change(url, place, session_id, words.encode(), bit)


async def _in_file(url: str, place: Place, session_id: str, words: bytes, bit: int) -> str:
    connection = _dbapi().connect(url.removeprefix("sqlite:///"), timeout=30)
    connection.text_factory = bytes
    try:
        found = connection.execute(_FIND[place].format(session="?"), (session_id,)).fetchall()
        key, content, wrong = _rotten(found, words, bit)
        cast = "CAST(? AS TEXT)" if place == "messages" else "?"
        connection.execute(_PUT[place].format(content=cast, session="?", key="?"), (content, session_id, _text(key)))
        connection.commit()
    finally:
        connection.close()
    return wrong


async def _in_postgresql(url: str, place: Place, session_id: str, words: bytes, bit: int) -> str:
    connection: Any = await asyncpg.connect(url)
    try:
        found = [tuple(row) for row in await connection.fetch(_FIND[place].format(session="$1"), session_id)]
        key, content, wrong = _rotten([(k, c.encode() if isinstance(c, str) else c) for k, c in found], words, bit)
        changed = content.decode() if place == "messages" else content
        await connection.execute(_PUT[place].format(content="$1", session="$2", key="$3"), changed, session_id, key)
    finally:
        await connection.close()
    return wrong


def _rotten(found: list[tuple[Any, bytes]], words: bytes, bit: int) -> tuple[Any, bytes, str]:
    key, content = next((key, content) for key, content in found if words in content)
    wrong = _flipped(words, bit)
    return key, content.replace(words, wrong, 1), wrong.decode(errors="replace")


def _flipped(words: bytes, bit: int) -> bytes:
    middle = len(words) // 2
    return words[:middle] + bytes([words[middle] ^ bit]) + words[middle + 1 :]


def flip_in_file(path: Path, words: str, *, bit: int = 1) -> str:
    """Flips a bit of ``words`` wherever the bytes of a SQLite file that nobody serves have them; what they say now."""
    connection = _dbapi().connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = path.read_bytes()
    assert content.count(words.encode()) >= 2, "in the journal and in the message"
    wrong = _flipped(words.encode(), bit)
    path.write_bytes(content.replace(words.encode(), wrong))
    return wrong.decode(errors="replace")


def _text(key: Any) -> Any:
    return key.decode() if isinstance(key, bytes) else key
