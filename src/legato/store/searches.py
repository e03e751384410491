"""Saved searches: a question under a name (promise S-14)."""

from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select

from legato.core.errors import Conflict, SearchExists, SearchNotFound
from legato.core.found import SavedSearch
from legato.core.ids import new_id
from legato.store.dialect import hold, utc_us
from legato.store.rows import to_time
from legato.store.schema import searches

#: Saved searches of one owner.
MOST: Final = 200


def save(conn: Connection, owner: str, name: str, query: str) -> SavedSearch:
    """Save a search; to save the same again changes nothing.

    Raises:
        SearchExists: the name stands for another one.
        Conflict: there are 200 of them.
    """
    hold(conn, f"searches of {owner}")
    known = conn.execute(select(searches).where(searches.c.owner == owner, searches.c.name == name)).first()
    if known is not None:
        if known.query != query:
            raise SearchExists(name=name)
        return _of(known)
    count = conn.execute(select(func.count()).select_from(searches).where(searches.c.owner == owner)).scalar_one()
    if count >= MOST:
        raise Conflict(f"There are {MOST} saved searches already; delete one first.")
    values = {"id": new_id("sch"), "owner": owner, "name": name, "query": query, "created_at": utc_us()}
    return _of(conn.execute(insert(searches).values(**values).returning(*searches.c)).one())


def saved(conn: Connection, owner: str) -> list[SavedSearch]:
    """An owner's saved searches, by name."""
    found = select(searches).where(searches.c.owner == owner).order_by(searches.c.name)
    return [_of(row) for row in conn.execute(found)]


def remove(conn: Connection, owner: str, search_id: str) -> None:
    """Raises SearchNotFound."""
    gone = delete(searches).where(searches.c.id == search_id, searches.c.owner == owner)
    if conn.execute(gone).rowcount == 0:
        raise SearchNotFound


def _of(row: Any) -> SavedSearch:
    return SavedSearch(id=row.id, name=row.name, query=row.query, created_at=to_time(row.created_at))
