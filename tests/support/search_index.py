"""Whether the index of the search is what the messages say, looked at from below: the entries, and the terms of each."""

from collections import defaultdict
from typing import Any, TypeGuard

from sqlalchemy import Connection, select, text

from legato.core.model import FilePart, Message, Part, TextPart
from legato.core.words import words
from legato.store import messages, schema
from legato.store.dialect import is_postgresql
from legato.store.port import Store
from legato.store.search import owner_key
from legato.store.search_terms import vector

entries = schema.search_entries


async def check_index(store: Store, session_id: str) -> None:
    """Each message of the session that says something can be found by its words, the title too, and nothing else can."""
    wanted, found = await store.write(_both, session_id)
    assert found == wanted
    await store.write(_check_terms)


def _both(conn: Connection, session_id: str) -> tuple[dict[str, str], dict[str, str]]:
    session = conn.execute(select(schema.sessions).where(schema.sessions.c.id == session_id)).one()
    ids = list(conn.execute(select(schema.messages.c.id).where(schema.messages.c.session_id == session_id)).scalars())
    wanted = {message.id: _words(message) for message in messages.by_ids(conn, ids).values()}
    wanted["title"] = " ".join(words(session.title or ""))
    rows = conn.execute(select(entries).where(entries.c.session_id == session_id, ~entries.c.gone)).all()
    found = {row.message_id or "title": row.words for row in rows}
    assert len(found) == len(rows)
    assert {row.owner_key for row in rows} <= {owner_key(session.owner)}
    return {key: said for key, said in wanted.items() if said}, found


def _words(message: Message) -> str:
    if message.status == "in_progress" or message.message_type == "continue":
        return ""
    said = [part.name if isinstance(part, FilePart) else part.text for part in message.parts if _is_said(part)]
    return " ".join(words("\n".join(said)))


def _is_said(part: Part) -> TypeGuard[TextPart | FilePart]:
    return isinstance(part, TextPart | FilePart)


def _check_terms(conn: Connection) -> None:
    """The index holds the terms of the entries, in their order; also of those that wait to be taken out."""
    rows = conn.execute(select(entries.c.id, entries.c.owner_key, entries.c.words)).all()
    if is_postgresql(conn):
        same = text("SELECT terms = CAST(:vector AS tsvector) FROM search_entries WHERE id = :id")
        assert all(
            conn.execute(same, {"id": row.id, "vector": vector(row.owner_key, row.words)}).scalar() for row in rows
        )
    else:
        assert _instances(conn) == {row.id: [row.owner_key + word for word in row.words.split(" ")] for row in rows}
        conn.execute(text("INSERT INTO search_index (search_index) VALUES ('integrity-check')"))


def _instances(conn: Connection) -> dict[int, list[Any]]:
    conn.execute(
        text("CREATE VIRTUAL TABLE IF NOT EXISTS temp.search_words USING fts5vocab(main, search_index, instance)")
    )
    found: dict[int, list[Any]] = defaultdict(list)
    for row in conn.execute(text('SELECT doc, term FROM temp.search_words ORDER BY doc, "offset"')):
        found[row.doc].append(row.term)
    return found
