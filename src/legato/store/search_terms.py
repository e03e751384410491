"""Where the indexes of the two databases differ: how terms enter, how they are asked for, how they leave."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Join,
    Select,
    Subquery,
    and_,
    bindparam,
    cast,
    column,
    delete,
    func,
    literal,
    select,
    table,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.ext.compiler import compiles

from legato.core.search import MOST_COUNTED, Term
from legato.store.dialect import is_postgresql
from legato.store.schema import search_entries as entries
from legato.store.schema import sessions

_INDEX: Final = table("search_index", column("rowid"), column("search_index"))
# How common they are decides how they are best looked for. A plan for any words goes through all entries of the owner.
_LOOK_AT_THE_WORDS: Final = "SET LOCAL plan_cache_mode = force_custom_plan"
_POSITIONS: Final = 255  # of one word in one message; PostgreSQL keeps no more


def vector(key: str, said: str) -> str:
    """The ``tsvector`` of words that are parted by spaces, each begun by the owner's key."""
    places: dict[str, list[str]] = {}
    for place, word in enumerate(said.split(" "), 1):
        found = places.setdefault(word, [])
        if len(found) < _POSITIONS:
            found.append(str(place))
    return " ".join(f"'{key}{word}':{','.join(found)}" for word, found in places.items())


_LOOKED_INTO: Final = 100_000  # characters of an entry, for what stands within its words
# Never all words of a long message: hundreds are read at a time.
_WORDS: Final = func.substr(entries.c.words, 1, MOST_COUNTED).label("words")
_COLUMNS: Final = (
    entries.c.id,
    entries.c.session_id,
    entries.c.message_id,
    entries.c.role,
    entries.c.created_at,
    _WORDS,
    sessions.c.title,
    sessions.c.agent_id,
    sessions.c.agent_name,
)


def entries_with(
    conn: Connection, key: str, terms: tuple[Term, ...], within: Sequence[ColumnElement[bool]], through: int | None
) -> Select[Any]:
    """An owner's entries that have all of the terms, the newest first, with their sessions.

    ``through`` None: as words, by the index. Else within words too, where the newest ``through`` entries that are ``within``
    begin. The rows' ``words`` are where they begin as well.
    """
    join = Join if is_postgresql(conn) else InThisOrder
    found: FromClause
    order: ColumnElement[int]
    if through is not None:
        newest = _newest(key, within, through)
        apart = literal(" ").concat(newest.c.words).concat(" ")
        there = [apart.contains(f" {term} ") if term.exact else newest.c.words.contains(str(term)) for term in terms]
        found = join(newest, entries, and_(entries.c.owner_key == key, entries.c.id == newest.c.id))
        order = newest.c.id
    elif is_postgresql(conn):
        # The terms say whose they are. The key is said all the same, lest others' newer entries be gone through.
        there = [entries.c.owner_key == key]
        there.append(entries.c.terms.op("@@", is_comparison=True)(cast(_tsquery(key, terms), TSQUERY)))
        conn.exec_driver_sql(_LOOK_AT_THE_WORDS)
        found, order = entries, entries.c.id
    else:
        there = [_INDEX.c.search_index.op("MATCH", is_comparison=True)(_match(key, terms))]
        found = join(_INDEX, entries, and_(entries.c.owner_key == key, entries.c.id == _INDEX.c.rowid))
        order = _INDEX.c.rowid
    whole = join(found, sessions, sessions.c.id == entries.c.session_id)
    return select(*_COLUMNS).select_from(whole).where(*there).order_by(order.desc())


def _newest(key: str, within: Sequence[ColumnElement[bool]], most: int) -> Subquery[Any]:
    looked = select(entries.c.id, func.substr(entries.c.words, 1, _LOOKED_INTO).label("words")).where(
        entries.c.owner_key == key, ~entries.c.gone, *within
    )
    return looked.order_by(entries.c.id.desc()).limit(most).subquery()


class InThisOrder(Join):
    """A join that SQLite does from left to right. Else it asks the index for each of an owner's entries."""

    inherit_cache = True


@compiles(InThisOrder)
def _in_this_order(element: InThisOrder, compiler: Any, **options: Any) -> str:
    options["asfrom"] = True
    left, right = (compiler.process(side, **options) for side in (element.left, element.right))
    assert element.onclause is not None  # noqa: S101 - whoever makes one gives it
    return f"{left} CROSS JOIN {right} ON {compiler.process(element.onclause, **{**options, 'asfrom': False})}"


def _match(key: str, terms: tuple[Term, ...]) -> str:
    """As FTS5 asks. Words are letters and digits: nothing in them ends a string."""
    return " AND ".join(
        '"' + " ".join(key + word for word in term.words) + '"' + ("*" if term.open else "") for term in terms
    )


def _tsquery(key: str, terms: tuple[Term, ...]) -> str:
    return " & ".join("(" + " <-> ".join(_lexemes(key, term)) + ")" for term in terms)


def _lexemes(key: str, term: Term) -> Iterator[str]:
    for number, word in enumerate(term.words, 1):
        yield f"'{key}{word}'" + (":*" if term.open and number == len(term.words) else "")


def take_out(conn: Connection, row: Any, most: int) -> list[str]:
    """Take at most ``most`` terms of an entry out of the index, with the last of them the entry; which they were."""
    distinct = [row.owner_key + word for word in dict.fromkeys(row.words.split(" "))]
    if is_postgresql(conn) or len(distinct) <= most:
        conn.execute(_REMOVE, {"entry": row.id})  # a trigger takes what remains out of SQLite's index
        return distinct
    part, rest = distinct[:most], distinct[most:]
    conn.execute(_STAY, {"entry": row.id})
    conn.execute(_TAKE_OUT, {"entry": row.id, "words": " ".join(part)})
    conn.execute(_KEEP, {"entry": row.id, "rest": " ".join(term.removeprefix(row.owner_key) for term in rest)})
    return part


_REMOVE: Final = delete(entries).where(entries.c.id == bindparam("entry"))
_KEEP: Final = update(entries).where(entries.c.id == bindparam("entry")).values(words=bindparam("rest"), gone=True)
# FTS5 counts rows, and takes each removal for that of a whole one.
_STAY: Final = text("INSERT INTO search_index (rowid, words) VALUES (:entry, '')")
_TAKE_OUT: Final = text("INSERT INTO search_index (search_index, rowid, words) VALUES ('delete', :entry, :words)")
