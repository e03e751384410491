"""The engine in the test's own process, over real stores."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

from legato import Legato
from legato.store.opening import open_store
from tests.engine.talking import PATIENCE_S, Talk
from tests.http.puppets import Puppets
from tests.support.brief import BRIEF
from tests.support.postgres import drop_database, new_database, postgres_server
from tests.support.upstream import Upstream


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def blank_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the schema: to copy it is ten times faster than to make one."""
    path = tmp_path_factory.mktemp("blank") / "legato.db"
    asyncio.run(_migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture
def sqlite(blank_sqlite: Path, tmp_path: Path) -> str:
    """The URL of an empty SQLite database of the test's own."""
    return f"sqlite:///{shutil.copy(blank_sqlite, tmp_path / 'legato.db')}"


@pytest.fixture(scope="session")
def postgres_server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgres_server(tmp_path_factory.mktemp("postgres")) as base_url:
        yield base_url


@pytest.fixture
def postgres(postgres_server_url: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of the test's own."""
    url = new_database(postgres_server_url)
    yield url
    drop_database(postgres_server_url, url)


@pytest.fixture(autouse=True)
async def patience(anyio_backend: str) -> AsyncIterator[None]:
    """Nothing here takes long: a test that waits for what never comes says where."""
    with anyio.fail_after(PATIENCE_S):
        yield


@pytest.fixture
def puppets() -> Puppets:
    return Puppets()


@pytest.fixture
async def chat(sqlite: str, puppets: Puppets) -> AsyncIterator[Legato]:
    """A started Legato on SQLite whose agent does what the test says."""
    chat = Legato(sqlite, settings=BRIEF, environment={})
    chat.agent("puppet")(puppets.answer)
    async with chat.lifespan():
        yield chat


@pytest.fixture
async def talk(chat: Legato) -> Talk:
    """A session of Ann's with the puppet."""
    return await Talk.begin(chat.engine)


@pytest.fixture
async def upstream(anyio_backend: str) -> AsyncIterator[Upstream]:
    async with Upstream() as upstream:
        yield upstream


async def _migrate(url: str) -> None:
    store = open_store(url)
    await store.start()
    await store.stop()
