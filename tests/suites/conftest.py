"""The stores: SQLite in a file, PostgreSQL in a database, both emptied before each test."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete

from legato.store.opening import open_store
from legato.store.port import Store
from legato.store.schema import (
    file_contents,
    files,
    preferences,
    search_entries,
    searches,
    sessions,
    usage_days,
    workers,
)
from tests.support.conversation import Conversation
from tests.support.postgres import drop_database, new_database, postgres_server


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As long as the stores live, which are started once a module."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server: what ``new_database`` wants."""
    with postgres_server(tmp_path_factory.mktemp("postgres")) as base_url:
        yield base_url


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """An empty database of the test's own, without a schema."""
    url = new_database(postgres)
    yield url
    drop_database(postgres, url)


@pytest.fixture(scope="session")
def shared_postgres(postgres: str) -> Iterator[str]:
    """A database with the schema; who uses it finds it empty."""
    url = new_database(postgres)
    asyncio.run(_migrate(url))
    yield url
    drop_database(postgres, url)


@pytest.fixture(scope="session")
def blank_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the schema: to copy it is ten times faster than to make one."""
    path = tmp_path_factory.mktemp("blank") / "legato.db"
    asyncio.run(_migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with the schema, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{copied(request.getfixturevalue('blank_sqlite'), tmp_path_factory.mktemp('store'))}"
    url: str = request.getfixturevalue("shared_postgres")
    return url


@pytest.fixture(scope="module")
async def driver(store_url: str, anyio_backend: str) -> AsyncIterator[Store]:
    """A started store that many tests use after each other: its statements are compiled once."""
    async with opened(store_url) as store:
        yield store


@pytest.fixture
async def store(driver: Store) -> Store:
    """An empty store."""
    await driver.write(_forget)
    return driver


@pytest.fixture
async def conversation(store: Store) -> AsyncIterator[Conversation]:
    """A session of Ann's; at the end, everybody who resumes it agrees."""
    conversation = await Conversation.begin(store)
    yield conversation
    await conversation.agree()


def copied(blank: Path, directory: Path) -> Path:
    return Path(shutil.copy(blank, directory / "legato.db"))


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = open_store(url)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


async def _migrate(url: str) -> None:
    async with opened(url):
        pass


def _forget(conn: Connection) -> None:
    # The rest goes with its session.
    for table in (sessions, files, file_contents, workers, search_entries, searches, preferences, usage_days):
        conn.execute(delete(table))
