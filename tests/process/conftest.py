"""Real processes: servers that are killed, the model they talk to, a PostgreSQL that they share."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.process.model_server import ModelServer
from tests.process.nursery import Nursery
from tests.support.postgres import drop_database, new_database, postgres_server

DATABASES: Final = ("sqlite", "postgresql")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    """A model in a process of its own, which outlives the servers."""
    with ModelServer() as model:
        yield model


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server: what ``new_database`` wants."""
    with postgres_server(tmp_path_factory.mktemp("postgres")) as base_url:
        yield base_url


@pytest.fixture
def new_postgresql(postgres: str) -> Iterator[Callable[[], str]]:
    """Makes empty databases; they go with the test."""
    urls: list[str] = []

    def make() -> str:
        urls.append(new_database(postgres))
        return urls[-1]

    yield make
    for url in urls:
        drop_database(postgres, url)


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'legato.db'}"
    make: Callable[[], str] = request.getfixturevalue("new_postgresql")
    return make()
