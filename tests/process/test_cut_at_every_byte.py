"""The wire breaks at any byte: the client resumes, and what it was told is what it would have been told on a whole wire."""

import json
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import anyio
import pytest

from legato.client import AsyncClient, Sent
from legato.core.cursor import Cursor
from legato.core.events import Done, Event, Token, UsageEvent
from tests.process.model_server import ModelServer
from tests.process.nursery import ForkedServer, Nursery
from tests.support.proxy import CLIENT, Fault, Proxy
from tests.support.wire import Naps

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

# Every length of UTF-8, a family of seven code points, and what other protocols take for the end of a line.
PIECES: Final = [
    "Żółć, naïve ",
    "👩‍👩‍👧‍👦 🍷 𝔘𝔫𝔦 🏳️‍🌈 ",
    "日本語、漢字。\r\n",
    "a lone\rreturn, \u2028 and \u2029\x85",
    "\n\nevent: done\ndata: {}\n\n",
    "\ufeff مرحبا e\u0301 ",
    "The end.",
]
TEXT: Final = "".join(PIECES)
AFTER_DONE: Final = b"\r\n0\r\n\r\n"  # a client has heard all when only this is missing
AT_ONCE: Final = 32
WITHIN_S: Final = 240.0  # catches a hang


class Heard(NamedTuple):
    """What one client was told of a turn."""

    text: str
    events: list[tuple[Cursor, Event]]


@pytest.fixture
def server(nursery: Nursery, model: ModelServer, database: str, tmp_path: Path) -> Iterator[ForkedServer]:
    with ForkedServer(nursery, database, model.environment, log=tmp_path / "server.log") as server:
        yield server


@asynccontextmanager
async def impatient(url: str, name: str = "") -> AsyncIterator[AsyncClient]:
    """The client that users have, except that it connects again at once."""
    async with AsyncClient(url, headers={CLIENT: name}, sleep=Naps(), random=lambda: 0.0) as client:
        yield client


async def said(url: str, *, per_second: int | None = None) -> Sent:
    """A turn whose answer is ``TEXT``, as it was accepted."""
    pace = f" at {per_second}/s" if per_second else ""
    async with impatient(url) as client:
        session = await client.create_session()
        return await client.send(session.id, f"recite{pace} {json.dumps(PIECES)}")


async def heard(url: str, sent: Sent, name: str = "") -> Heard:
    """The turn as a client hears it that follows from the beginning of the turn to its end."""
    async with impatient(url, name) as client:
        answer = client.watch(sent)
        events = [(answer.cursor, update.event) async for update in answer.updates() if update.event is not None]
        return Heard(answer.text, events)


def is_whole(whole: Heard) -> bool:
    """It has everything that a cut could hit, up to the end."""
    kinds = [type(event) for _, event in whole.events]
    return whole.text == TEXT and Token in kinds and kinds[-2:] == [UsageEvent, Done]


@pytest.fixture
def stride(database: str) -> int:
    """Every byte on SQLite; on PostgreSQL every seventh: the database decides what follows a cursor, not where wires break."""
    return 1 if database.startswith("sqlite") else 7


@pytest.mark.promise("E-03", "E-05", "H-05")
async def test_a_cut_after_every_byte(server: ForkedServer, stride: int) -> None:
    with anyio.fail_after(WITHIN_S):
        sent = await said(server.url)
        whole = await heard(server.url, sent)
        assert is_whole(whole)
        size = await size_of(server.url, sent, whole)
        places = range(0, size, stride)
        wrong, connections = await cut_at(places, server.url, sent, whole, size)
    assert wrong == []
    assert min(connections[: -len(AFTER_DONE)]) >= 2, "some were not cut"
    print(f"\n{size} bytes, {len(places)} cuts, {sum(connections)} connections")


async def size_of(url: str, sent: Sent, whole: Heard) -> int:
    """How many bytes the response has, from its status line to the last chunk, when the turn is over."""
    async with Proxy(url, lambda client, number: Fault()) as proxy:
        assert await heard(proxy.url, sent, "whole") == whole
        return proxy.passed["whole"]


async def cut_at(places: Sequence[int], url: str, sent: Sent, whole: Heard, size: int) -> tuple[list[int], list[int]]:
    """After how many bytes a cut made a difference, and how often each client had to connect."""
    unhurt: set[int] = set()
    left = iter(places)

    async def cut_next(proxy: Proxy) -> None:
        for place in left:
            if await heard(proxy.url, sent, str(place)) == whole:
                unhurt.add(place)

    def plan(client: str, number: int) -> Fault:
        place = int(client)
        cuts = (place, size - place)[: 1 + (place % 8 == 0)]  # every eighth is cut once more, elsewhere
        return Fault(cuts[number]) if number < len(cuts) else Fault()

    async with Proxy(url, plan) as proxy, anyio.create_task_group() as group:
        for _ in range(AT_ONCE):
            group.start_soon(cut_next, proxy)
    return [place for place in places if place not in unhurt], [proxy.connections[str(place)] for place in places]


@pytest.mark.promise("E-03", "H-05")
@pytest.mark.parametrize("seed", range(3))
async def test_a_turn_that_goes_on_while_it_is_cut_again_and_again(server: ForkedServer, seed: int) -> None:
    chance = random.Random(seed)

    def plan(client: str, number: int) -> Fault:
        return Fault(chance.randint(0, 1500), chance.choice(["closed", "reset"]), chance.choice([None, 1, 7]))

    with anyio.fail_after(WITHIN_S):
        sent = await said(server.url, per_second=5)
        async with Proxy(server.url, plan) as proxy:
            broken = await heard(proxy.url, sent, "live")
        whole = await heard(server.url, sent)
    assert is_whole(whole)
    assert broken == whole
    assert proxy.connections["live"] >= 5


@pytest.mark.promise("E-03", "H-05")
async def test_a_stream_that_comes_byte_by_byte(server: ForkedServer) -> None:
    def plan(client: str, number: int) -> Fault:
        return Fault(piece=1)

    with anyio.fail_after(WITHIN_S):
        sent = await said(server.url, per_second=20)
        async with Proxy(server.url, plan) as proxy:
            live = await heard(proxy.url, sent, "live")
            replayed = await heard(proxy.url, sent, "replayed")
    assert is_whole(live)
    assert replayed == live
    assert proxy.connections == {"live": 1, "replayed": 1}
