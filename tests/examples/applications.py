"""A reference application as its own process, which a test kills."""

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, Self

import httpx2
import msgspec

from legato.core.sse import Parser
from tests.support.server import ServerProcess, free_port

_ROOT: Final = Path(__file__).parents[2]


class Application(ServerProcess):
    """``python -m examples.NAME`` in a directory of its own."""

    def __init__(self, name: str, home: Path, **env: str) -> None:
        port = free_port()
        databases = {
            kind: str(home / f"{kind.lower()}.sqlite") for kind in ("TASKS_DB", "DOCUMENTS_DB", "TEMPLATES_DB")
        }
        paths = {"PYTHONPATH": str(_ROOT), "PORT": str(port), "DATABASE_URL": f"sqlite:///{home / 'legato.db'}"}
        super().__init__("", port=port, env={**databases, **paths, **env}, log=home / "server.log")
        self._command = [sys.executable, "-m", f"examples.{name}"]
        self._arguments = []

    def _is_ready(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/openapi.json", timeout=1).status_code == 200
        except httpx2.HTTPError:
            return False

    def again(self) -> Self:
        """Kill it, and start it on what it has left."""
        self.kill()
        return self.start()

    @asynccontextmanager
    async def user(self, name: str) -> AsyncIterator["Visitor"]:
        async with httpx2.AsyncClient(base_url=self.url, headers={"X-User": name}, timeout=30) as http:
            yield Visitor(http)


class Visitor:
    """Somebody who uses an application. What is not said to be refused must succeed."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def call(self, verb: str, path: str, body: object = None, status: int | None = None) -> Any:
        answer = await self._http.request(verb, path, json=body)
        assert answer.status_code == status if status else answer.is_success, f"{answer.status_code}: {answer.text}"
        return answer.json() if answer.content else None

    async def until(self, path: str, wanted: Callable[[Any], object]) -> Any:
        """What is there as soon as it is as wanted: some of it is made in the background."""
        async with asyncio.timeout(30):
            while True:
                if wanted(found := await self.call("GET", path)):
                    return found
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def stream(self, verb: str, path: str, body: object = None) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
        """The events of an answer, as they come."""
        async with self._http.stream(verb, path, json=body, headers={"Accept": "text/event-stream"}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream"), await answer.aread()
            async with aclosing(answer.aiter_bytes()) as pieces, aclosing(_events(pieces)) as events:
                yield events

    async def events(self, verb: str, path: str, body: object = None) -> list[tuple[str, Any]]:
        async with self.stream(verb, path, body) as events:
            return [event async for event in events]


async def _events(pieces: AsyncIterator[bytes]) -> AsyncGenerator[tuple[str, Any], None]:
    parser = Parser()
    async for piece in pieces:
        for frame in parser.feed(piece):
            yield frame.event, msgspec.json.decode(frame.data)


@contextmanager
def running(name: str, home: Path, **env: str) -> Iterator[Application]:
    application = Application(name, home, **env)
    try:
        yield application.start()
    finally:
        application.kill()


def lines_of_its_own(name: str) -> int:
    return len((_ROOT / "examples" / name / "app.py").read_text().splitlines())


def screenfuls(name: str) -> int:
    """Lines of the README, of which a screen has about fifty."""
    return len((_ROOT / "examples" / name / "README.md").read_text().splitlines())
