"""Statements that are built once: SQLAlchemy takes longer to build one than SQLite to run it."""

from functools import cache
from typing import Final

from sqlalchemy import Table, Update, bindparam, update

#: The parameter of ``update_by_id`` that names the row.
ROW: Final = "row_id"


@cache
def update_by_id(table: Table, *columns: str) -> Update:
    """``update table set columns … where id = :row_id``."""
    values = {name: bindparam(name, type_=table.c[name].type) for name in columns}
    return update(table).where(table.c.id == bindparam(ROW)).values(values)
