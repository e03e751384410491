"""Bring a database to this version's schema, and read what names it."""

import secrets
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select, text

from legato.core.errors import SchemaMismatch
from legato.store.dialect import is_postgresql
from legato.store.schema import meta

_LOCK_KEY: Final = 0x1E6A70  # any number that only Legato takes as an advisory lock


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def revisions(conn: Connection) -> tuple[str | None, str]:
    """The schema's revision in the database and in this version of Legato."""
    current = MigrationContext.configure(conn).get_current_revision()
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    return current, newest or ""


def upgrade(conn: Connection) -> None:
    """Run the migrations that are missing; several processes may try at once.

    Raises:
        SchemaMismatch: the database is newer than this version.
    """
    if is_postgresql(conn):
        conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
    current, newest = revisions(conn)
    if current == newest:
        return
    config = _config()
    if current is not None and not _known(config, current):
        raise SchemaMismatch(f"the database is at revision {current}, which this version of Legato does not know")
    config.attributes["connection"] = conn
    command.upgrade(config, "head")


def _known(config: Config, revision: str) -> bool:
    return revision in {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}


def incarnation(conn: Connection) -> str:
    """What names this life of the database; made once, however many processes start, and anew when a backup is restored."""
    made = text("INSERT INTO meta (key, value) VALUES ('incarnation', :value) ON CONFLICT DO NOTHING")
    conn.execute(made, {"value": secrets.token_hex(4)})
    return str(conn.execute(select(meta.c.value).where(meta.c.key == "incarnation")).scalar_one())
