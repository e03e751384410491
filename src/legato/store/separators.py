"""What FTS5's ``secure-delete`` leaves: the beginnings of words by which SQLite finds its way among the index's pages.

Each page of the index has such a separator in the table ``search_index_idx``, as the first word of the page made it. When that
word is taken out of the page, its beginning still stands there. A separator may be anything above the page before and not above
the page's first word: here it becomes the beginning of a word that is still there. (The format: SQLite's ``fts5_index.c``.)
"""

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, text

from legato.store.rows import to_json

_MAIN: Final = b"0"  # what each term begins with, in an index without prefixes


def scrub(conn: Connection, terms: Iterable[str]) -> None:
    """Replace separators that terms have left which were taken out in this transaction."""
    with conn.begin_nested():
        pass  # FTS5 writes what it holds in memory when a savepoint begins
    for row in conn.execute(_BEGINNINGS, {"terms": to_json(list(terms))}).all():
        first = _first_term(conn, row.segid, row.pgno >> 1)
        here = {"segment": row.segid, "old": row.term}
        if first is None:
            conn.execute(_DROP, here)  # its page has been merged away
        elif not first.startswith(row.term):
            conn.execute(_REPLACE, {**here, "new": _above(first, row.term)})


def _above(first: bytes, separator: bytes) -> bytes:
    """The shortest beginning of ``first`` that is above ``separator``."""
    return next(first[:length] for length in range(1, len(first) + 1) if first[:length] > separator)


def _first_term(conn: Connection, segment: int, page: int) -> bytes | None:
    block = conn.execute(_PAGE, {"id": (segment << 37) + page}).scalar()
    if block is None:
        return None
    footer = int.from_bytes(block[2:4], "big")
    if footer >= len(block):
        return None
    start, _ = _varint(block, footer)
    length, start = _varint(block, start)
    return bytes(block[start : start + length])


def _varint(block: Any, at: int) -> tuple[int, int]:
    """A number of up to 2**35 as SQLite writes it, and where what follows begins."""
    value = 0
    while block[at] & 0x80:
        value, at = (value | block[at] & 0x7F) << 7, at + 1
    return value | block[at], at + 1


# Each term in each segment: the last separator that is not above it, where that is a beginning of it.
_BEGINNINGS: Final = text(f"""
    WITH RECURSIVE
        segments (id) AS (
            SELECT min(segid) FROM search_index_idx
            UNION ALL
            SELECT (SELECT min(segid) FROM search_index_idx WHERE segid > segments.id) FROM segments
                WHERE segments.id IS NOT NULL
        ),
        gone (term) AS (SELECT CAST('{_MAIN.decode()}' || value AS BLOB) FROM json_each(:terms))
    SELECT DISTINCT here.segid, here.term, here.pgno
    FROM segments CROSS JOIN gone CROSS JOIN search_index_idx AS here
        ON here.segid = segments.id
        AND here.term = (SELECT max(term) FROM search_index_idx WHERE segid = segments.id AND term <= gone.term)
    WHERE length(here.term) > 0 AND substr(gone.term, 1, length(here.term)) = here.term
""")  # noqa: S608 - a constant
_PAGE: Final = text("SELECT block FROM search_index_data WHERE id = :id")
_REPLACE: Final = text("UPDATE search_index_idx SET term = :new WHERE segid = :segment AND term = :old")
_DROP: Final = text("DELETE FROM search_index_idx WHERE segid = :segment AND term = :old")
