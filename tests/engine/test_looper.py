"""A duty that recurs outlives its failures, and stops when told."""

import asyncio

import anyio
import pytest

from legato.core.errors import Unavailable
from legato.engine.looper import Looper

pytestmark = pytest.mark.anyio

SECRET = "what-the-customer-said"


class Duty:
    """A step whose calls are counted, and which fails as it is told."""

    def __init__(self, *failures: Exception) -> None:
        self.calls = 0
        self._failures = list(failures)
        self._called = asyncio.Event()

    async def step(self) -> None:
        self.calls += 1
        self._called.set()
        self._called = asyncio.Event()
        if self._failures:
            raise self._failures.pop(0)

    async def called(self, times: int) -> None:
        while self.calls < times:
            await self._called.wait()


async def test_the_first_step_comes_at_once_and_the_next_after_the_interval() -> None:
    duty = Duty()
    looper = Looper(step=duty.step, interval_s=0.01, name="duty")
    looper.start()
    await duty.called(3)
    await looper.stop()


async def test_a_wake_is_a_step_at_once() -> None:
    duty = Duty()
    looper = Looper(step=duty.step, interval_s=1000, name="duty")
    looper.start()
    await duty.called(1)
    await anyio.wait_all_tasks_blocked()
    assert duty.calls == 1
    looper.wake()
    await duty.called(2)
    await looper.stop()
    looper.wake()
    await anyio.wait_all_tasks_blocked()
    assert duty.calls == 2


@pytest.mark.promise("X-05")
async def test_a_step_that_fails_is_reported_without_its_message_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    duty = Duty(ValueError(SECRET), Unavailable(SECRET))
    looper = Looper(step=duty.step, interval_s=0, name="duty")
    looper.start()
    await duty.called(3)
    await looper.stop()
    assert "duty: ValueError at" in caplog.text
    assert "duty: the store is unavailable" in caplog.text
    assert SECRET not in caplog.text


async def test_stop_ends_a_step_that_hangs_and_may_come_without_a_start() -> None:
    began = anyio.Event()

    async def hang() -> None:
        began.set()
        await anyio.sleep_forever()

    looper = Looper(step=hang, interval_s=1000, name="duty")
    await looper.stop()
    looper.start()
    await began.wait()
    await looper.stop()
    await looper.stop()
