"""People first: who waits, what the others may say meanwhile, and that they are never silenced."""

import asyncio
from collections.abc import Callable
from typing import Final

import anyio
import pytest

from legato.engine import precedence as module
from legato.engine.precedence import Precedence

pytestmark = [pytest.mark.anyio, pytest.mark.promise("R-15")]

ENDLESS_S: Final = 1000.0
PATIENCE_S: Final = 20.0


class Clock:
    """The loop's clock, moved by hand. Timers of the loop go by it too: none of them fires by itself."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now_s = loop.time()

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    loop = asyncio.get_running_loop()
    clock = Clock(loop)
    monkeypatch.setattr(loop, "time", clock, raising=False)
    return clock


class Speaker:
    """A background turn: it says ``pieces`` one by one, and gives way after each."""

    def __init__(self, precedence: Precedence, after: Callable[[], None] = lambda: None) -> None:
        self.said = 0
        self._precedence = precedence
        self._after = after

    async def speak(self, pieces: int) -> None:
        for _ in range(pieces):
            self.said += 1
            self._after()
            await self._precedence.give_way()


async def settle() -> None:
    """Everybody who may go on does; anyio's own way sleeps by the clock, which stands still."""
    for _ in range(500):
        await asyncio.sleep(0)


async def passes(clock: Clock, seconds: float) -> None:
    clock.now_s += seconds
    await settle()


async def test_while_nobody_waits_a_background_turn_lets_the_loop_turn_once_a_slice(clock: Clock) -> None:
    speaker, turned = Speaker(Precedence()), 0

    async def watch() -> None:
        nonlocal turned
        while True:
            await asyncio.sleep(0)
            turned += 1

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        await asyncio.sleep(0)
        before = turned
        await speaker.speak(1000)
        assert turned - before <= 2, "within a slice it holds up nobody, and is held up by nobody"
        clock.now_s += module._SLICE_S
        await speaker.speak(1)
        assert turned - before in (1, 2, 3)
        group.cancel_scope.cancel()
    assert turned > before


async def test_while_somebody_waits_all_background_turns_share_one_slice(clock: Clock) -> None:
    precedence = Precedence()
    speakers = [Speaker(precedence) for _ in range(5)]
    precedence.enter()
    async with anyio.create_task_group() as group:
        for speaker in speakers:
            group.start_soon(speaker.speak, 10**6)
        await settle()
        assert [speaker.said for speaker in speakers] == [1] * 5, "no slice was left: one piece, then a pause"
        precedence.leave()
        group.cancel_scope.cancel()


async def test_they_go_on_as_soon_as_nobody_waits(clock: Clock) -> None:
    precedence = Precedence()
    speaker = Speaker(precedence)
    precedence.enter()
    precedence.enter()
    async with anyio.create_task_group() as group:
        group.start_soon(speaker.speak, 100)
        await settle()
        precedence.leave()
        await settle()
        assert speaker.said == 1, "another one waits still"
        precedence.leave()
        await settle()
    assert speaker.said == 100


async def test_a_slow_model_does_not_silence_background_turns(clock: Clock) -> None:
    """The pause ends by itself, and a slice follows: a piece of every turn, at least."""
    precedence = Precedence()
    cost_s = module._SLICE_S / 4
    speakers = [Speaker(precedence, lambda: setattr(clock, "now_s", clock.now_s + cost_s)) for _ in range(5)]
    precedence.enter()  # and never leaves
    async with anyio.create_task_group() as group:
        for speaker in speakers:
            group.start_soon(speaker.speak, 10**6)
        await settle()
        for pause in range(1, 20):
            before = [speaker.said for speaker in speakers]
            await passes(clock, module._PAUSE_S + 2 * module._SLICE_S)
            gained = [speaker.said - said for speaker, said in zip(speakers, before, strict=True)]
            assert min(gained) >= 1, f"somebody was silent over pause {pause}"
            assert sum(gained) <= 5 * (1 + 4), "a slice each at most, then they pause again"
        group.cancel_scope.cancel()


async def test_a_pause_that_is_cancelled_ends_at_once(clock: Clock) -> None:
    precedence = Precedence()
    precedence.enter()
    speaker = Speaker(precedence)
    async with anyio.create_task_group() as group:
        group.start_soon(speaker.speak, 2)
        await settle()
        group.cancel_scope.cancel()
    assert speaker.said == 1
    precedence.leave()
    with anyio.fail_after(PATIENCE_S):
        await Speaker(precedence).speak(10)


async def test_with_the_real_clock_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody leaves, and pauses end; then somebody leaves, and a pause without end is over."""
    precedence = Precedence()
    precedence.enter()
    speaker = Speaker(precedence)
    with anyio.fail_after(PATIENCE_S):
        await speaker.speak(3)
        monkeypatch.setattr(module, "_PAUSE_S", ENDLESS_S)
        async with anyio.create_task_group() as group:
            group.start_soon(speaker.speak, 1000)
            await anyio.wait_all_tasks_blocked()
            precedence.leave()
    assert speaker.said == 1003
