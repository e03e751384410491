"""One row of a session's projections that rots: what can happen to it, and what the rows said before and after."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from hypothesis import strategies as st
from sqlalchemy import Connection, Table, delete, select, update

from legato.store import schema

Draw = Callable[[st.SearchStrategy[Any]], Any]

#: What a damaged value may become, given what it was; each keeps to what the database itself refuses.
_OTHERWISE: Final[Mapping[str, Mapping[str, Callable[[Any], Any]]]] = {
    "messages": {
        "id": lambda was: was[:-1] + ("0" if was[-1] != "0" else "1"),
        "parts": lambda was: was.replace("text", "tixt", 1) if "text" in was else was + " ",
        "crc": lambda was: was ^ 4,
        "status": lambda was: "incomplete" if was != "incomplete" else "cancelled",
        "role": lambda was: "user" if was == "assistant" else "assistant",
        "message_type": lambda was: "massage",
        "parent_id": lambda was: "msg_of_nobody",
        "turn_id": lambda was: "trn_of_nobody",
        "usage": lambda was: "{",
        "created_at": lambda was: was ^ (1 << 62),
        "error_message": lambda was: "other words",
    },
    "turns": {
        "id": lambda was: was[:-1] + ("0" if was[-1] != "0" else "1"),
        "status": lambda was: "incomplete" if was != "incomplete" else "cancelled",
        "message_id": lambda was: "msg_of_nobody",
        "answer_id": lambda was: "msg_of_nobody",
        "kind": lambda was: "continue" if was != "continue" else "send",
        "rank": lambda was: was ^ 8,
        "attempt": lambda was: was ^ 8,
        "start_seq": lambda was: (was or 0) ^ 8,
        "done_seq": lambda was: (was or 0) ^ (1 << 40),
        "created_at": lambda was: was ^ 1,
        "finished_at": lambda was: (was or 0) ^ (1 << 62),
        "context": lambda was: "[",
        "prompt_tokens": lambda was: (was or 0) ^ 1,
        "reason": lambda was: "stap",
    },
    "sessions": {
        "title": lambda was: "another title",
        "owner": lambda was: "anm",
        "agent_name": lambda was: "Deno",
        "metadata": lambda was: "{",
        "created_at": lambda was: was ^ 1,
        "last_activity": lambda was: was ^ 1,
        "pinned": lambda was: not was,
        "leaf_id": lambda was: "msg_of_nobody",
        "head": lambda was: was ^ 1,
    },
    "search_entries": {
        "words": lambda was: was + "x",
        "role": lambda was: "user" if was == "assistant" else "assistant",
        "message_id": lambda was: "msg_of_nobody",
        "created_at": lambda was: was ^ 1,
    },
}
#: What the journal does not know, and nothing but the running server needs.
_OWN: Final = {"compacted", "locale", "worker_id", "epoch", "quarantined_at", "quarantine_reason"}


def dump(conn: Connection, session_id: str) -> dict[str, dict[str, dict[str, Any]]]:
    """What the projections of a session say, row by row."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name in _OTHERWISE:
        table = schema.metadata.tables[name]
        rows = [row._asdict() for row in conn.execute(_of(table, session_id))]
        found[name] = {str(_key(name, row)): {k: v for k, v in row.items() if k not in _OWN} for row in rows}
    for entry in found["search_entries"].values():
        entry.pop("id")
        if entry["message_id"] is None:
            entry.pop("created_at")  # when a title was given is not in the journal
        entry.pop("terms")
    return found


def _key(name: str, row: dict[str, Any]) -> Any:
    return row["message_id"] if name == "search_entries" else row["id"]


def _of(table: Table, session_id: str) -> Any:
    if table is schema.sessions:
        return select(table).where(table.c.id == session_id)
    mine = select(table).where(table.c.session_id == session_id)
    return mine.where(~table.c.gone) if table is schema.search_entries else mine


def damage(conn: Connection, session_id: str, draw: Draw, known_turns: set[str]) -> str:
    """Change a value of one row, or lose the row; what was done. Of turns only those that the journal knows."""
    name = draw(st.sampled_from(["messages", "messages", "turns", "turns", "sessions", "search_entries"]))
    table = schema.metadata.tables[name]
    rows = [row._asdict() for row in conn.execute(_of(table, session_id).order_by(table.c.id))]
    if name == "turns":
        rows = [row for row in rows if row["id"] in known_turns]
    if not rows:
        return ""
    row = draw(st.sampled_from(rows))
    if name != "sessions" and draw(st.integers(0, 4)) == 0:
        conn.execute(delete(table).where(table.c.id == row["id"]))
        return f"{name} {row['id']}: lost"
    column = draw(st.sampled_from(sorted(_OTHERWISE[name])))
    if name == "search_entries" and row["message_id"] is None and column == "created_at":
        return ""
    wrong = _OTHERWISE[name][column](row[column])
    conn.execute(update(table).where(table.c.id == row["id"]).values({column: wrong}))
    return f"{name} {row['id']}: {column} {row[column]!r} → {wrong!r}"
