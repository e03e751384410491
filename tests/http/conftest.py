"""One server a database, with agents for every need; each test is a user of its own."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from starlette.requests import Request

from legato import Legato
from legato.agents.builtin import assistant
from legato.agents.config import Config
from legato.engine.settings import EngineSettings
from legato.providers.catalog import ModelEntry
from legato.web.settings import WebSettings
from tests.http.puppets import Puppets, echo
from tests.http.serving import serving
from tests.http.speaking import Api, user_of
from tests.support.postgres import drop_database, new_database, postgres_server
from tests.support.upstream import Upstream

MODELS = (
    ModelEntry(id="openai:m", context_window=100_000, cost_per_1m_input=1.0, cost_per_1m_output=2.0),
    ModelEntry(id="openai:small", context_window=2048 + 100),
)
PROVIDER_KEY = "sk-canary-of-the-provider"


def make_chat(
    database: str, puppets: Puppets, upstream: Upstream | None = None, *, heartbeat_s: float = 15.0
) -> Legato:
    """A Legato with the agents ``puppet`` (the default), ``echo``, ``off``, and with an upstream ``model``."""
    environment = {"OPENAI_BASE_URL": upstream.url, "OPENAI_API_KEY": PROVIDER_KEY} if upstream else {}
    chat = Legato(
        database,
        config=Config(models=MODELS if upstream else ()),
        environment=environment,
        settings=EngineSettings(queue_limit=20, grace_s=0.1, titles=False),
        web=WebSettings(heartbeat_s=heartbeat_s),
    )
    chat.agent("puppet", name="The puppet", role="toy", parent_role="toybox", description="Held by strings.")(
        puppets.answer
    )
    chat.agent("echo")(echo)
    chat.agent("off", enabled=False)(echo)
    if upstream is not None:
        chat.agent("model", model="openai:m")(assistant)
        chat.agent("small", model="openai:small")(assistant)
    return chat


@dataclass
class Served:
    """A running server: ``database`` is its URL, ``url`` its own."""

    url: str
    database: str
    chat: Legato
    puppets: Puppets
    upstream: Upstream


def by_header(request: Request) -> str | None:
    """A host application's authenticator."""
    return request.headers.get("x-user")


@pytest.fixture(scope="package")
def anyio_backend() -> str:
    """As long as the servers live. Not uvloop, as in ``legato serve``: where a test leaves something open, it hangs."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgres_server(tmp_path_factory.mktemp("postgres")) as base_url:
        yield base_url


@contextmanager
def own_postgres_database(base_url: str) -> Iterator[str]:
    """An empty database, gone afterwards: the server may be one that stays."""
    url = new_database(base_url)
    yield url
    drop_database(base_url, url)


@pytest.fixture(scope="package", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The database of the server that most tests share, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('served') / 'legato.db'}"
    else:
        with own_postgres_database(request.getfixturevalue("postgres")) as url:
            yield url


@pytest.fixture(scope="package")
async def served(database: str, anyio_backend: object) -> AsyncIterator[Served]:
    puppets = Puppets()
    async with Upstream(key=PROVIDER_KEY) as upstream:
        chat = make_chat(database, puppets, upstream)
        async with serving(chat, by_header) as url:
            yield Served(url, database, chat, puppets, upstream)


@pytest.fixture
async def api(served: Served) -> AsyncIterator[Api]:
    """A new user of the server."""
    with anyio.fail_after(60):
        async with user_of(served.url) as api:
            yield api


@pytest.fixture
async def stranger(served: Served) -> AsyncIterator[Api]:
    """Another new user of the server."""
    async with user_of(served.url) as api:
        yield api


@pytest.fixture
def puppets(served: Served) -> Puppets:
    return served.puppets


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """An empty SQLite database of the test's own."""
    return f"sqlite:///{tmp_path / 'legato.db'}"


@pytest.fixture
def postgresql(postgres: str) -> Iterator[str]:
    """An empty PostgreSQL database of the test's own."""
    with own_postgres_database(postgres) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def own_database(request: pytest.FixtureRequest) -> str:
    """An empty database of the test's own, of each kind."""
    return str(request.getfixturevalue(request.param))
