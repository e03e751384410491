"""PostgreSQL's doorbell: hints between processes, which may be lost, and are made up for by looking."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
import asyncpg
import pytest

from legato.core.ids import new_id
from legato.doorbell import postgres as doorbell_module
from legato.doorbell.local import LocalDoorbell
from legato.doorbell.postgres import PostgresDoorbell

pytestmark = pytest.mark.anyio
PATIENCE_S: Final = 30


class Ear:
    """What was heard, in order: sets of ids, or None for "look at all"."""

    def __init__(self) -> None:
        self.heard: list[set[str] | None] = []
        self._news = asyncio.Event()

    def __call__(self, session_ids: Iterable[str] | None) -> None:
        self.heard.append(None if session_ids is None else set(session_ids))
        self._news.set()

    @property
    def ids(self) -> set[str]:
        return set[str]().union(*[ids for ids in self.heard if ids is not None])

    @property
    def times_all(self) -> int:
        return self.heard.count(None)

    async def until(self, wanted: set[str] | None = None, *, times_all: int = 0) -> None:
        with anyio.fail_after(PATIENCE_S):
            while not (self.ids >= (wanted or set()) and self.times_all >= times_all):
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[tuple[PostgresDoorbell, Ear]]:
    """A doorbell that listens: it has told once that everything is worth a look."""
    doorbell, ear = PostgresDoorbell(url=url), Ear()
    await doorbell.start(ear)
    try:
        await ear.until(times_all=1)
        yield doorbell, ear
    finally:
        await doorbell.stop()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here waits a second before he connects again."""
    monkeypatch.setattr(doorbell_module, "_RETRY_S", 0.01)


async def backends(url: str) -> list[int]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = 'legato-doorbell'")
    await connection.close()
    return [row["pid"] for row in rows]


async def terminate(url: str, pids: list[int]) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", pids)
    await connection.close()


async def test_who_rings_wakes_the_others_and_not_himself(postgres_url: str) -> None:
    async with listening(postgres_url) as (mine, my_ear), listening(postgres_url) as (_, ear):
        one, two = new_id("ses"), new_id("ses")
        mine.ring([one])
        mine.ring([two])
        await ear.until({one, two})

        assert ear.ids == {one, two}
        assert my_ear.heard == [None]


@pytest.mark.promise("X-10")
async def test_what_is_rung_while_a_ring_is_on_its_way_goes_together(postgres_url: str) -> None:
    async with listening(postgres_url) as (mine, _), listening(postgres_url) as (_, ear):
        ids = [new_id("ses") for _ in range(100)]
        for session_id in ids:
            mine.ring([session_id, ids[0]])
        await ear.until(set(ids))

        assert len(ear.heard) < 10
        assert len(await backends(postgres_url)) == 2  # one connection a process


async def test_too_many_to_name_are_all(postgres_url: str) -> None:
    async with listening(postgres_url) as (mine, _), listening(postgres_url) as (_, ear):
        mine.ring([new_id("ses") for _ in range(500)])
        await ear.until(times_all=2)

        assert ear.ids == set()


@pytest.mark.usefixtures("hasty")
async def test_a_connection_that_broke_is_replaced_and_all_is_looked_at(postgres_url: str) -> None:
    async with listening(postgres_url) as (mine, my_ear), listening(postgres_url) as (_, ear):
        await terminate(postgres_url, await backends(postgres_url))
        await my_ear.until(times_all=2)
        await ear.until(times_all=2)

        session_id = new_id("ses")
        mine.ring([session_id])
        await ear.until({session_id})


@pytest.mark.usefixtures("hasty")
async def test_a_server_that_is_away_is_waited_for(postgres: str, postgres_url: str) -> None:
    name = postgres_url.rpartition("/")[2]
    gate: Any = await asyncpg.connect(postgres)
    async with listening(postgres_url) as (mine, my_ear), listening(postgres_url) as (_, ear):
        pids = await backends(postgres_url)
        await gate.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await gate.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", pids)
        session_id = new_id("ses")
        mine.ring([session_id])  # never fails, never waits
        await gate.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await my_ear.until(times_all=2)
        await ear.until(times_all=2)

        mine.ring([session_id])
        await ear.until({session_id})
    await gate.close()


async def test_who_has_stopped_holds_no_connection_and_hears_nothing(postgres_url: str) -> None:
    async with listening(postgres_url) as (mine, _):
        async with listening(postgres_url) as (_, ear):
            pass
        heard = list(ear.heard)
        mine.ring([new_id("ses")])
        with anyio.fail_after(PATIENCE_S):
            while len(await backends(postgres_url)) > 1:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)

        assert ear.heard == heard


async def test_a_doorbell_that_never_started_can_be_rung_and_stopped(postgres_url: str) -> None:
    doorbell = PostgresDoorbell(url=postgres_url)
    doorbell.ring([new_id("ses")])
    await doorbell.stop()


async def test_where_one_process_serves_there_is_nobody_to_wake() -> None:
    doorbell, ear = LocalDoorbell(), Ear()
    await doorbell.start(ear)
    doorbell.ring([new_id("ses")])
    await doorbell.stop()

    assert ear.heard == []
