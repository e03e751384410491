"""Migrations by Alembic; imported only where the schema has to change, as it costs 11 MiB and a third of a second."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from legato.core.errors import SchemaMismatch


def migrate(conn: Connection, current: str | None) -> None:
    """From the revision ``current`` (None: an empty database) to this version's.

    Raises:
        SchemaMismatch: the database is newer than this version.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise SchemaMismatch(f"the database is at revision {current}, which this version of Legato does not know")
    config.attributes["connection"] = conn
    command.upgrade(config, "head")
