"""Every task has an owner: nothing is forgotten, and nothing that fails is silent."""

import anyio
import pytest

from legato.engine.tasks import Tasks, report

pytestmark = pytest.mark.anyio

SECRET = "what-the-customer-said"


@pytest.mark.promise("X-05")
async def test_a_task_that_fails_is_reported_by_type_and_place_only(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError(SECRET)

    tasks = Tasks()
    tasks.spawn(fail(), "duty")
    await tasks.settle(5)
    assert "task duty failed: ValueError at" in caplog.text
    assert " fail" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.promise("X-05")
def test_a_report_of_deep_trouble_says_where_and_not_what(caplog: pytest.LogCaptureFixture) -> None:
    def dig(depth: int) -> None:
        if depth == 0:
            raise RuntimeError(SECRET) from ValueError(SECRET)
        dig(depth - 1)

    with pytest.raises(RuntimeError) as caught:
        dig(20)
    report(caught.value, "digging")
    assert caplog.messages[0].startswith("digging: RuntimeError at ")
    assert caplog.messages[0].count(" < ") == 5
    assert SECRET not in caplog.text


async def test_settle_waits_for_what_runs_and_for_what_that_starts() -> None:
    tasks, done = Tasks(), list[str]()

    async def second() -> None:
        done.append("second")

    async def first() -> None:
        await anyio.lowlevel.checkpoint()
        tasks.spawn(second(), "second")
        done.append("first")

    tasks.spawn(first(), "first")
    await tasks.settle(5)
    assert done == ["first", "second"]


async def test_settle_cancels_what_takes_too_long(caplog: pytest.LogCaptureFixture) -> None:
    tasks, cancelled = Tasks(), anyio.Event()

    async def hang() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    tasks.spawn(hang(), "hang")
    await anyio.wait_all_tasks_blocked()
    await tasks.settle(0.01)
    assert cancelled.is_set()
    assert caplog.text == ""


async def test_what_must_be_done_is_done_whatever_becomes_of_the_caller() -> None:
    tasks, go, done = Tasks(), anyio.Event(), anyio.Event()

    async def work() -> int:
        await go.wait()
        done.set()
        return 7

    async with anyio.create_task_group() as group:
        group.start_soon(tasks.uncancelled, work(), "work")
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    go.set()
    await tasks.settle(5)
    assert done.is_set()

    async def seven() -> int:
        return 7

    assert await tasks.uncancelled(seven(), "seven") == 7
