"""``legato doctor``: is everything as it should be, and if not, what to do."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from sqlalchemy import Connection

from legato.agents.config import Config, load_config
from legato.agents.setup import make_setup
from legato.core.errors import LegatoError, StoreInUse
from legato.store.health import Health, examine
from legato.store.opening import open_store


class Finding(NamedTuple):
    """One line of the report."""

    good: bool
    text: str


def doctor(
    database: Annotated[
        str, typer.Option(help="sqlite:///file or postgresql://…", envvar=["LEGATO_DATABASE", "DATABASE_URL"])
    ] = "sqlite:///legato.db",
    config: Annotated[Path | None, typer.Option(help="The TOML file of the server.", envvar="LEGATO_CONFIG")] = None,
) -> None:
    """Look at the configuration and the database: schema, checksums, journals without gaps, turns without an owner."""
    findings = [*_configuration(config), *asyncio.run(_database(database))]
    for finding in findings:
        typer.secho(f"{'ok ' if finding.good else 'BAD'}  {finding.text}", fg="green" if finding.good else "red")
    raise typer.Exit(0 if all(finding.good for finding in findings) else 1)


def _configuration(path: Path | None) -> Iterator[Finding]:
    try:
        sys.path.insert(0, os.getcwd())  # as `serve` does
        config = load_config(path) if path else Config()
        setup = make_setup(config, os.environ, source=str(path or "environment"))
    except LegatoError as error:
        yield Finding(False, error.message)
        return
    for spec in setup.agents:
        if spec.unavailable:
            yield Finding(False, f"agent {spec.id} can't answer: {spec.unavailable}")
        else:
            yield Finding(True, f"agent {spec.id}" + (" (the offline demo)" if spec.demo else ""))


async def _database(url: str) -> list[Finding]:
    try:
        store = open_store(url)
        await store.start()
    except StoreInUse as error:
        return [Finding(False, f"{error.message} (The doctor needs the file for itself.)")]
    except LegatoError as error:
        return [Finding(False, f"the database: {error.message}")]
    try:
        return list(_report(await store.read(_examined)))
    except LegatoError as error:
        return [Finding(False, f"the database can't be read to its end: {error.message}")]
    finally:
        await store.stop()


def _examined(conn: Connection) -> Health:
    return examine(conn)


def _report(health: Health) -> Iterator[Finding]:
    yield Finding(True, f"{health.engine}, schema {health.revision}, {health.sessions} sessions")
    yield _counted(len(health.damaged), "damaged sessions", ", ".join(health.damaged[:10]))
    yield _counted(health.orphans, "running turns without an owner", "a server ends them when it starts")


def _counted(count: int, what: str, remedy: str) -> Finding:
    return Finding(not count, f"no {what}" if not count else f"{count} {what}: {remedy}")
