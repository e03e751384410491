"""``legato db``: the database's schema."""

import asyncio
from typing import Annotated

import typer
from sqlalchemy import Connection

from legato.core.errors import LegatoError
from legato.store.opening import open_store
from legato.store.upgrade import revisions

app = typer.Typer(help="The database.", no_args_is_help=True)

Database = Annotated[
    str, typer.Option("--database", help="sqlite:///file or postgresql://…", envvar=["LEGATO_DATABASE", "DATABASE_URL"])
]


@app.callback()
def _group() -> None:
    """The database."""


@app.command()
def upgrade(database: Database = "sqlite:///legato.db") -> None:
    """Bring the schema to this version's. A server does so by itself when it starts; stop it first on SQLite."""
    try:
        current = asyncio.run(_upgrade(database))
    except LegatoError as error:
        typer.secho(f"legato: {error.message}", fg="red", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"The schema is at revision {current}.")


async def _upgrade(database: str) -> str | None:
    store = open_store(database)
    await store.start()
    try:
        return (await store.read(_revisions))[0]
    finally:
        await store.stop()


def _revisions(conn: Connection) -> tuple[str | None, str]:
    return revisions(conn)
