"""Whether the index of the search is what a session's messages and title say, entry by entry, and how it becomes that again."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, select, update

from legato.core.model import Message
from legato.core.words import words
from legato.store import search
from legato.store.dialect import is_postgresql, raw_text
from legato.store.legible import row as legible_row
from legato.store.rows import to_us
from legato.store.schema import search_entries
from legato.store.search_terms import vector

_TITLE: Final = ""  # stands for the key of the title's entry, which has no message


class Entries(msgspec.Struct, frozen=True, kw_only=True):
    """Entries to overwrite by their ids, messages to enter (and the title), entries nobody may find any more."""

    fix: tuple[tuple[int, Mapping[str, Any]], ...] = ()
    enter: tuple[Message, ...] = ()
    title: bool = False
    drop: tuple[int, ...] = ()

    @property
    def says(self) -> list[str]:
        kinds = Counter(
            {
                "damaged": len(self.fix),
                "missing": len(self.enter) + self.title,
                "of nothing that is there": len(self.drop),
            }
        )
        return [
            f"{count} entries of its index are {what}; they are written anew" for what, count in kinds.items() if count
        ]


def differences(
    conn: Connection, session_id: str, owner: str, title: str | None, messages: Mapping[str, Message | None]
) -> Entries:
    """What of the index is not as these messages would have it; that of one that can't be read (None) stays as it is."""
    wanted = _wanted(session_id, owner, title, messages)
    unknown = {id_ for id_, message in messages.items() if message is None}
    fix: list[tuple[int, Mapping[str, Any]]] = []
    drop: list[int] = []
    for entry in _entries(conn, session_id, [key for key in wanted if key]):
        key = entry.message_id or _TITLE
        values = wanted.pop(key, None)
        if values is None:
            drop += [] if key in unknown else [entry.id]
            continue
        if key == _TITLE:
            values.pop("created_at")  # when it was given, which nothing else tells
        if any(getattr(entry, name) != value for name, value in values.items()):
            fix.append((entry.id, values))
    enter = tuple(message for id_ in wanted if id_ and (message := messages[id_]) is not None)
    return Entries(fix=tuple(fix), enter=enter, title=_TITLE in wanted, drop=tuple(drop))


def _wanted(
    session_id: str, owner: str, title: str | None, messages: Mapping[str, Message | None]
) -> dict[str, dict[str, Any]]:
    known = {"session_id": session_id, "owner_key": search.owner_key(owner)}
    found: dict[str, dict[str, Any]] = {}
    if said := " ".join(words(title or "")):
        found[_TITLE] = {**known, "message_id": None, "role": None, "created_at": None, "words": said}
    for id_, message in messages.items():
        if message is not None and (said := search.words_of(message)):
            values = {"message_id": id_, "role": message.role, "created_at": to_us(message.created_at), "words": said}
            found[id_] = known | values
    return found


def _entries(conn: Connection, session_id: str, message_ids: list[str]) -> list[Any]:
    """Those of the session, and those of its messages that say they are another's."""
    found = [legible_row(row) for row in conn.execute(_OF_SESSION, {"session_id": session_id})]
    missing = sorted(set(message_ids) - {entry.message_id for entry in found})
    for at in range(0, len(missing), 500):
        found += [legible_row(row) for row in conn.execute(_OF_MESSAGES, {"ids": missing[at : at + 500]})]
    return found


def repair(conn: Connection, session_id: str, owner: str, title: str | None, entries: Entries) -> None:
    """Write what is to be written; what is dropped is taken out of the index like whatever was removed."""
    for id_, values in entries.fix:
        terms = {"terms": vector(values["owner_key"], values["words"])} if is_postgresql(conn) else {}
        conn.execute(update(search_entries).where(search_entries.c.id == id_).values(**values, **terms))
    if entries.drop:
        conn.execute(_DROP, {"ids": entries.drop})
    for message in entries.enter:
        search.enter(conn, owner, message, search.words_of(message))
    if entries.title:
        search.note_title(conn, session_id, owner, title)


_e = search_entries.c
_ENTRIES: Final = select(
    _e.id,
    _e.created_at,
    *(
        raw_text(column).label(column.name)
        for column in (_e.owner_key, _e.session_id, _e.message_id, _e.role, _e.words)
    ),
).where(~_e.gone)
_OF_SESSION: Final = _ENTRIES.where(_e.session_id == bindparam("session_id")).order_by(_e.id)
_OF_MESSAGES: Final = _ENTRIES.where(_e.message_id.in_(bindparam("ids", expanding=True))).order_by(_e.id)
_DROP: Final = update(search_entries).where(_e.id.in_(bindparam("ids", expanding=True))).values(gone=True)
