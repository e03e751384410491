"""Open streams cost no database connections and no threads: everything else goes on beside any number of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final

import anyio
import asyncpg
import pytest

from legato.store import postgres
from legato.store.postgres import PostgresStore
from tests.http.conftest import by_header, make_chat
from tests.http.puppets import Puppets
from tests.http.serving import serving
from tests.http.speaking import Api, Stream, user_of

pytestmark = [pytest.mark.anyio, pytest.mark.promise("X-10")]

STREAMS: Final = 50
APPENDERS: Final = 4  # connections that only write what turns say
_SESSIONS_OF_THE_SERVER: Final = """
    SELECT application_name, count(*)::int FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() GROUP BY 1
"""


class Crowd:
    """Many readers of one running turn, in every way to read it."""

    def __init__(self, api: Api, puppets: Puppets) -> None:
        self.api, self.puppets = api, puppets
        self.session = self.turn_id = ""
        self.streams: list[Stream] = []
        self.polled: list[Any] = []

    async def arrive(self, stack: AsyncExitStack) -> None:
        self.session = await self.api.session()
        self.turn_id = (await self.api.send(self.session))["id"]
        await self.puppets.of(self.turn_id)
        for number in range(STREAMS):
            start = None if number % 2 else "0"
            follow = self.api.follow(self.session, start, until=self.turn_id)
            self.streams.append(await stack.enter_async_context(follow))
        for _ in range(5):
            self.streams.append(await stack.enter_async_context(self.api.stream("GET", "/v1/events")))
        for stream in self.streams:
            await stream.event()

    async def poll(self) -> None:
        cursor = (await self.api.call("GET", self.session))["cursor"]
        page = await self.api.call("GET", f"{self.session}/events", params={"after": cursor, "wait": "30"})
        self.polled += page["data"]

    async def leave(self) -> None:
        """The turn speaks and ends: everybody hears it."""
        puppet = await self.puppets.of(self.turn_id)
        puppet.say("Heard ", "by all")
        puppet.end()
        async with anyio.create_task_group() as group:
            for stream in self.streams[:STREAMS]:
                group.start_soon(stream.rest)
        assert {stream.text for stream in self.streams[:STREAMS]} == {"Heard by all"}


async def others_are_served(api: Api) -> None:
    """Reads and writes of many at once, while the crowd is there."""
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(partial(api.call, "GET", "/v1/sessions"))
                group.start_soon(api.session)
        assert (await api.answered(await api.session("echo")))["status"] == "completed"


@asynccontextmanager
async def through_a_crowd(api: Api, puppets: Puppets) -> AsyncIterator[Crowd]:
    async with AsyncExitStack() as stack:
        crowd = Crowd(api, puppets)
        with anyio.fail_after(20):
            await crowd.arrive(stack)
        polls = [asyncio.create_task(crowd.poll()) for _ in range(10)]
        await others_are_served(api)
        yield crowd
        await crowd.leave()
        await asyncio.gather(*polls)
        assert len(crowd.polled) >= 10


async def test_a_crowd_of_readers_on_sqlite(sqlite: str) -> None:
    puppets = Puppets()
    async with (
        serving(make_chat(sqlite, puppets), by_header) as url,
        user_of(url) as api,
        through_a_crowd(api, puppets) as crowd,
    ):
        assert len(crowd.streams) > STREAMS


async def test_a_crowd_of_readers_on_postgresql_with_two_connections(
    postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "PostgresStore", partial(PostgresStore, pool_size=2))
    puppets = Puppets()
    chat = make_chat(postgresql, puppets)
    async with serving(chat, by_header) as url, user_of(url) as api, through_a_crowd(api, puppets):
        watch = await asyncpg.connect(postgresql)
        try:
            rows = await watch.fetch(_SESSIONS_OF_THE_SERVER)
        finally:
            await watch.close()
    connections = {row[0]: row[1] for row in rows}
    assert connections.keys() == {"legato", "legato-doorbell"}
    assert connections["legato"] <= 2 + APPENDERS
    assert connections["legato-doorbell"] == 1
