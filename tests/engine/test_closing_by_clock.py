"""A clock that jumps closes nobody's session (promise S-05): on SQLite, whose clock is the machine's."""

from collections.abc import AsyncIterator

import pytest

from legato import Legato
from legato.engine.engine import Engine
from legato.store.ticks import Boot
from tests.engine.test_lifecycle import aged
from tests.engine.test_retention import DAY_S, HOUR_S, SETTINGS, Time
from tests.http.puppets import Puppets

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S-05")]

MINUTE_S = 60


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def engine(sqlite: str, puppets: Puppets, time: Time) -> AsyncIterator[Engine]:
    """Without loops: nobody looks at the clock but the test."""
    chat = Legato(sqlite, settings=SETTINGS, environment={}, clock_us=time)
    chat.agent("brief", idle_close_s=30 * MINUTE_S, titles=False)(puppets.answer)
    chat.agent("long", idle_close_s=DAY_S, titles=False)(puppets.answer)
    async with chat.lifespan():
        chat.engine.lifecycle.boot = Boot("boot", lambda: time.elapsed_us)
        yield chat.engine


async def is_closed(engine: Engine, session_id: str) -> bool:
    return (await engine.get_session("ann", session_id)).read_only


async def test_a_jump_is_seen_though_nothing_was_silent_before(engine: Engine, time: Time) -> None:
    session = await engine.create_session("ann", "brief")
    await engine.lifecycle.close_idle()
    time.jump(DAY_S)
    await engine.lifecycle.close_idle()
    await engine.lifecycle.visit("ann", session.id)
    current = await engine.current_session("ann", "brief")
    assert (current.session.id, current.created) == (session.id, False)
    assert not await is_closed(engine, session.id)
    time.jump(-DAY_S)
    time.pass_by(31 * MINUTE_S)
    await engine.lifecycle.close_idle()
    assert await is_closed(engine, session.id)


async def test_the_current_session_is_not_closed_for_a_jump_that_nobody_has_looked_at_since(
    engine: Engine, time: Time
) -> None:
    session = await engine.create_session("ann", "brief")
    await engine.lifecycle.close_idle()
    time.jump(DAY_S)
    assert (await engine.current_session("ann", "brief")).session.id == session.id


async def test_a_jump_counts_for_as_long_as_any_agent_waits(engine: Engine, time: Time) -> None:
    """An agent that is satisfied sooner does not say for the others that the clock is right."""
    brief, long = await engine.create_session("ann", "brief"), await engine.create_session("ann", "long")
    await aged(engine.store, long.id, 22 * HOUR_S)
    await engine.lifecycle.close_idle()
    time.jump(2 * HOUR_S - 10 * MINUTE_S)
    await engine.lifecycle.close_idle()
    time.pass_by(31 * MINUTE_S)
    for session in (brief, long):
        await engine.lifecycle.visit("ann", session.id)
    await engine.lifecycle.close_idle()
    assert not await is_closed(engine, long.id), "it is silent for 22 and a half hours"
    time.pass_by(DAY_S)
    await engine.lifecycle.close_idle()
    assert await is_closed(engine, brief.id)
    assert await is_closed(engine, long.id)
