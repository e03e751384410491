"""How many requests a minute: no minute sees more than the limit, people come first, and nobody is forgotten."""

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from legato.core.errors import ProviderBusy
from legato.providers.pace import Pace
from tests.support.provider import Naps, deltas_of, opened, text_of
from tests.support.upstream import Upstream

pytestmark = [pytest.mark.anyio, pytest.mark.promise("A-03")]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def settle() -> None:
    """Everybody who may go on does."""
    for _ in range(20):
        await asyncio.sleep(0)


class Clock:
    """Time that passes when the test says so, and what is to be called then."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.awaited = asyncio.Event()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._made = 0

    def __call__(self) -> float:
        return self.now_s

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self._made += 1
        self.awaited.set()
        heapq.heappush(self._due, (self.now_s + max(0.0, seconds), self._made, call))

    async def advance(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while self._due and self._due[0][0] <= until_s:
            self.now_s, _, call = heapq.heappop(self._due)
            call()
            await settle()
        self.now_s = until_s


class Crowd:
    """Those who want a permit; ``sent`` has who got one, and when."""

    def __init__(self, per_minute: int | None) -> None:
        self.clock = Clock()
        self.sent: list[tuple[str, float]] = []
        self.pace = Pace(per_minute, clock_s=self.clock, later=self.clock.later)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, *names: str, background: bool = False) -> None:
        for name in names:
            self._tasks[name] = asyncio.ensure_future(self._ask(name, background))
        await settle()

    async def go(self, name: str) -> None:
        self._tasks[name].cancel()
        await settle()

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.sent]

    async def _ask(self, name: str, background: bool) -> None:
        await self.pace.permit(background=background)
        self.sent.append((name, self.clock.now_s))

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values())


@asynccontextmanager
async def crowd(per_minute: int | None) -> AsyncIterator[Crowd]:
    made = Crowd(per_minute)
    try:
        yield made
    finally:
        await made.close()


async def test_without_a_limit_nobody_waits() -> None:
    async with crowd(None) as people:
        await people.come(*map(str, range(500)))
        assert len(people.sent) == 500


async def test_some_may_go_at_once_and_the_others_one_by_one() -> None:
    async with crowd(60) as people:
        await people.come(*map(str, range(20)))
        assert len(people.sent) == 6
        await people.clock.advance(60 / 55 + 0.001)
        assert len(people.sent) == 7
        await people.clock.advance(30)
        assert people.names == list(map(str, range(20)))


async def test_who_waits_for_long_finds_no_more_than_a_bucketful() -> None:
    async with crowd(60) as people:
        await people.clock.advance(3600)
        await people.come(*map(str, range(20)))
        assert len(people.sent) == 6


@pytest.mark.promise("R-15")
async def test_people_go_before_those_who_can_wait() -> None:
    async with crowd(1) as people:
        await people.come("first")
        await people.come("title", "memory", background=True)
        await people.come("ann", "bob")
        assert people.names == ["first"]
        await people.clock.advance(240)
        assert people.names == ["first", "ann", "bob", "title", "memory"]


async def test_who_goes_while_waiting_leaves_his_permit_to_the_next() -> None:
    async with crowd(1) as people:
        await people.come("first", "ann", "bob")
        await people.go("ann")
        await people.clock.advance(60)
        assert people.names == ["first", "bob"]


async def test_who_is_cancelled_just_when_it_is_his_turn_gives_it_back() -> None:
    async with crowd(1) as people:
        await people.come("first", "ann", "bob")
        people.clock.now_s = 60.0
        people.pace._ring()  # ann's permit is there, and she has not noticed
        await people.go("ann")
        assert people.names == ["first", "bob"]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 130),
    st.lists(st.tuples(st.floats(0, 90), st.integers(1, 60), st.booleans()), min_size=1, max_size=12),
)
def test_however_they_come_no_minute_sees_more_than_the_limit(
    per_minute: int, arrivals: list[tuple[float, int, bool]]
) -> None:
    async def come() -> list[float]:
        async with crowd(per_minute) as people:
            for number, (pause_s, count, background) in enumerate(arrivals):
                await people.clock.advance(pause_s)
                await people.come(*(f"{number}.{one}" for one in range(count)), background=background)
            await people.clock.advance(60 * (sum(count for _, count, _ in arrivals) + 1))
            assert len(people.sent) == sum(count for _, count, _ in arrivals), "somebody is forgotten"
            return [at_s for _, at_s in people.sent]

    sent = anyio.run(come)
    for first, last in zip(sent, sent[per_minute:], strict=False):
        assert last - first >= 60 - 1e-6


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_a_request_waits_for_its_permit_and_so_does_another_try(kind: str) -> None:
    clock = Clock()
    pace = Pace(1, clock_s=clock, later=clock.later)
    async with Upstream() as upstream, opened(upstream.url, kind=kind, pace=pace) as provider:  # type: ignore[arg-type]
        answer = asyncio.ensure_future(deltas_of(provider, "status 503 once"))
        with anyio.fail_after(5):
            await (await upstream.exchange(0)).ended.wait()
            await clock.awaited.wait()
            assert len(upstream.exchanges) == 1
            await clock.advance(60)
            assert text_of(await answer) == "1 2 3 "

    assert len(upstream.exchanges) == 2


async def test_a_request_that_our_limit_leaves_no_room_for_fails_at_the_time_out_and_not_before() -> None:
    clock, naps = Clock(), Naps()
    pace = Pace(1, clock_s=clock, later=clock.later)
    async with (
        Upstream() as upstream,
        opened(upstream.url, pace=pace, sleep=naps, first_token_timeout_s=0.2) as provider,
    ):
        await deltas_of(provider, "count 1")
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(ProviderBusy, match="Our own limit"):
            await deltas_of(provider, "count 1")
        assert asyncio.get_running_loop().time() - began_s >= 0.199

    assert len(upstream.exchanges) == 1
    assert naps.taken == [], "nothing was asked, so nothing is asked again"
