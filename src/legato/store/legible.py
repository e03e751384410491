"""Rows as far as they can be read, for people and for the doctor; never for a model.

A damaged message stands there empty, with the error that says so. Text is read as bytes: SQLite's driver refuses a row of
which one byte is no text any more, before a checksum can tell.
"""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, String, Table, Text, TypeDecorator, bindparam, select

from legato.core.errors import Corrupted
from legato.core.model import ErrorInfo, Message, Turn
from legato.store.dialect import raw_text
from legato.store.rows import to_message, to_turn, to_unread_message
from legato.store.schema import messages, turns

DAMAGED: Final = ErrorInfo(Corrupted.code, "What was said here is damaged.")


def columns(table: Table) -> Sequence[ColumnElement[Any]]:
    """All columns, those of text as bytes."""
    return [raw_text(column).label(column.name) if _is_text(column) else column for column in table.c]


def _is_text(column: ColumnElement[Any]) -> bool:
    kind = column.type.impl if isinstance(column.type, TypeDecorator) else column.type
    return isinstance(kind, String | Text)


def row(found: Any) -> SimpleNamespace:
    """A row of ``columns``; what is no text has signs of replacement in it, which fit no checksum.

    ``illegible`` are the names of those columns.
    """
    values = dict(found._mapping)
    illegible: list[str] = []
    for name, value in values.items():
        if isinstance(value, bytes | memoryview):
            try:
                values[name] = bytes(value).decode()
            except UnicodeDecodeError:
                values[name] = bytes(value).decode(errors="replace")
                illegible.append(name)
    return SimpleNamespace(**values, illegible=tuple(illegible))


def message(found: Any) -> Message:
    """A message, whole or not."""
    read = row(found)
    try:
        return to_message(read)
    except Corrupted:
        pass
    try:
        return to_unread_message(read, DAMAGED)
    except Corrupted:
        read.created_at = 0
        return to_unread_message(read, DAMAGED)


def turn(found: Any) -> Turn:
    """A turn, without what of it can't be read."""
    read = row(found)
    try:
        return to_turn(read)
    except Corrupted:
        vars(read).update(context=None, created_at=0, started_at=None, finished_at=None)
        return to_turn(read)


def messages_by_ids(conn: Connection, ids: Sequence[str]) -> dict[str, Message]:
    return {each.id: each for each in map(message, conn.execute(_BY_IDS, {"ids": ids}))}


def messages_of_turn(conn: Connection, turn_id: str) -> list[Message]:
    return [message(found) for found in conn.execute(_OF_TURN, {"turn_id": turn_id})]


def turns_by_ids(conn: Connection, ids: Sequence[str]) -> dict[str, Turn]:
    return {each.id: each for each in map(turn, conn.execute(_TURNS, {"ids": ids}))}


_BY_IDS: Final = select(*columns(messages)).where(messages.c.id.in_(bindparam("ids", expanding=True)))
_OF_TURN: Final = select(*columns(messages)).where(messages.c.turn_id == bindparam("turn_id"))
_TURNS: Final = select(*columns(turns)).where(turns.c.id.in_(bindparam("ids", expanding=True)))
