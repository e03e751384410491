"""One row of a session's projections that rots: what can happen to it, and what the rows said before and after."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st
from sqlalchemy import Connection, Table, delete, select, update
from sqlalchemy.exc import IntegrityError

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
        "error_message": lambda was: was and "other words",
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
        "asks": lambda was: None,
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
_OWN: Final = {
    "compacted",
    "locale",
    "worker_id",
    "epoch",
    "on_crash",
    "crashes",
    "quarantined_at",
    "quarantine_reason",
}


class Rot(NamedTuple):
    """What happens to a row: a column's value becomes another one; without a column the row is lost."""

    table: str
    id: Any
    column: str | None = None
    was: Any = None
    wrong: Any = None


def rows(conn: Connection, session_id: str) -> dict[str, list[dict[str, Any]]]:
    """The projections of a session."""
    found = {}
    for name in _OTHERWISE:
        table = schema.metadata.tables[name]
        found[name] = [row._asdict() for row in conn.execute(_of(table, session_id).order_by(*_order(table)))]
    return found


def _order(table: Table) -> list[Any]:
    """As they came, as far as that is known: ids are made by chance, and a sequence is to be tried again."""
    return [table.c.id] if table is schema.search_entries else [table.c.created_at, table.c.id]


def hanging(conn: Connection, session_id: str) -> list[list[dict[str, Any]]]:
    """What hangs on a session's turns and is in no journal: the doctor has no business with it."""
    mine = select(schema.turns.c.id).where(schema.turns.c.session_id == session_id)
    steps, approvals = schema.steps, schema.approvals
    found = (
        select(steps).where(steps.c.turn_id.in_(mine)).order_by(steps.c.turn_id, steps.c.number),
        select(approvals).where(approvals.c.session_id == session_id).order_by(approvals.c.id),
    )
    return [[row._asdict() for row in conn.execute(each)] for each in found]


def put_policy_back(conn: Connection, turns: list[dict[str, Any]]) -> None:
    """A turn that was lost has no crash policy any more, and is taken for a dead worker's, though it was handed over: what only
    who goes on with it knows."""
    for turn in turns:
        policy = {name: turn[name] for name in ("on_crash", "crashes")}
        if turn["worker_id"] is None:
            policy["worker_id"] = None
        conn.execute(update(schema.turns).where(schema.turns.c.id == turn["id"]).values(policy))


def said(found: Mapping[str, list[dict[str, Any]]]) -> dict[str, dict[str, dict[str, Any]]]:
    """What of the rows the journal knows: what must be there again, by the rows' keys."""
    known = {
        name: {str(_key(name, row)): {k: v for k, v in row.items() if k not in _OWN} for row in some}
        for name, some in found.items()
    }
    for row in found["turns"]:  # whether it ran here
        known["turns"][row["id"]]["ran"] = row["epoch"] is not None
        if row["reason"] == "rolled_back":  # where its words began left the journal with them
            del known["turns"][row["id"]]["start_seq"]
    for entry in known["search_entries"].values():
        for name in ("id", "terms", *([] if entry["message_id"] else ["created_at"])):
            entry.pop(name)  # when a title was given is not in the journal
    return known


def _key(name: str, row: Mapping[str, Any]) -> Any:
    return row["message_id"] if name == "search_entries" else row["id"]


def _of(table: Table, session_id: str) -> Any:
    if table is schema.sessions:
        return select(table).where(table.c.id == session_id)
    mine = select(table).where(table.c.session_id == session_id)
    return mine.where(~table.c.gone) if table is schema.search_entries else mine


def choose(found: Mapping[str, list[dict[str, Any]]], draw: Draw, known_turns: set[str]) -> Rot | None:
    """One row that rots, in one of the ways; of turns only those that the journal knows."""
    name = draw(st.sampled_from(["messages", "messages", "turns", "turns", "sessions", "search_entries"]))
    some = [row for row in found[name] if name != "turns" or row["id"] in known_turns]
    if not some:
        return None
    row = draw(st.sampled_from(some))
    if name != "sessions" and draw(st.integers(0, 4)) == 0:
        return Rot(name, row["id"])
    column = draw(st.sampled_from(sorted(_OTHERWISE[name])))
    if (name, column, row[column]) == ("turns", "start_seq", None) and row["status"] != "queued":
        return None  # whether it ever ran is not always told
    if name == "search_entries" and row["message_id"] is None and column == "created_at":
        return None
    return Rot(name, row["id"], column, row[column], _OTHERWISE[name][column](row[column]))


def happen(conn: Connection, rot: Rot) -> bool:
    """Whether it could: the database itself refuses some of it, and would take along what hangs on a turn that is lost."""
    table = schema.metadata.tables[rot.table]
    if table is schema.turns and rot.column is None and _holds_something(conn, rot.id):
        return False
    here = table.c.id == rot.id
    try:
        with conn.begin_nested():
            conn.execute(
                delete(table).where(here)
                if rot.column is None
                else update(table).where(here).values({rot.column: rot.wrong})
            )
    except IntegrityError:
        return False
    return rot.column is None or rot.was != rot.wrong


def _holds_something(conn: Connection, turn_id: str) -> bool:
    tables = (schema.steps, schema.approvals)
    return any(conn.execute(select(each).where(each.c.turn_id == turn_id)).first() for each in tables)
