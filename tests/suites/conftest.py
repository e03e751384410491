"""The stores: SQLite in a fresh file, PostgreSQL in a database that is emptied between tests."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete

from legato.store.opening import open_store
from legato.store.port import Store
from legato.store.schema import sessions, workers
from tests.support.conversation import Conversation
from tests.support.postgres import drop_database, new_database, postgres_server


@pytest.fixture
def anyio_backend() -> str:
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


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database with the schema, of each kind."""
    if request.param == "sqlite":
        path = shutil.copy(request.getfixturevalue("blank_sqlite"), tmp_path / "legato.db")
        return f"sqlite:///{path}"
    url: str = request.getfixturevalue("shared_postgres")
    asyncio.run(_empty(url))
    return url


@pytest.fixture
async def store(store_url: str, anyio_backend: str) -> AsyncIterator[Store]:
    async with opened(store_url) as store:
        yield store


@pytest.fixture
async def conversation(store: Store) -> AsyncIterator[Conversation]:
    """A session of Ann's; at the end, everybody who resumes it agrees."""
    conversation = await Conversation.begin(store)
    yield conversation
    await conversation.agree()


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


async def _empty(url: str) -> None:
    async with opened(url) as store:
        await store.write(_forget)


def _forget(conn: Connection) -> None:
    for table in (sessions, workers):  # the rest goes with its session
        conn.execute(delete(table))
