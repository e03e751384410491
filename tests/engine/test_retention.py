"""What is too old goes, once a day, by the store's clock, and never because a clock jumped (promise S-06, guarantee G11)."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence

import pytest
from sqlalchemy import Connection, select, update

from legato import Legato
from legato.core.errors import ClockJumped, SessionNotFound
from legato.engine.engine import Engine
from legato.engine.lifecycle import Lifecycle
from legato.engine.pruner import Pruner
from legato.engine.settings import EngineSettings
from legato.store import retention, workers
from legato.store.schema import chores, sessions
from legato.store.sqlite import now_us
from legato.store.ticks import Boot
from tests.engine.talking import Talk
from tests.http.puppets import Puppets

pytestmark = pytest.mark.anyio

MINUTE_S = 60
HOUR_S = 3600
DAY_S = 24 * HOUR_S
SETTINGS = EngineSettings(grace_s=0.1, prune_every_s=DAY_S, close_idle_every_s=DAY_S, retention_days=90)


class Time:
    """The wall clock of SQLite's machine; on PostgreSQL the server's own counts."""

    def __init__(self) -> None:
        self.ahead_us = 0
        self.elapsed_us = 1_000_000_000

    def __call__(self) -> int:
        return now_us() + self.ahead_us

    def jump(self, seconds: float) -> None:
        self.ahead_us += int(seconds * 1_000_000)

    def pass_by(self, seconds: float) -> None:
        """As it should."""
        self.jump(seconds)
        self.elapsed_us += int(seconds * 1_000_000)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def chat(url: str, puppets: Puppets, time: Time) -> AsyncIterator[Legato]:
    chat = Legato(url, settings=SETTINGS, environment={}, clock_us=time)
    chat.agent("ninety", titles=False)(puppets.answer)
    chat.agent("week", retention_days=7, titles=False)(puppets.answer)
    chat.agent("hour", retention_days=1 / 24, titles=False)(puppets.answer)
    async with chat.lifespan():
        yield chat


@pytest.fixture
def engine(chat: Legato) -> Engine:
    return chat.engine


def ruled(engine: Engine, time: Time, boot: str = "boot") -> Lifecycle:
    """The rules, by a machine whose clocks the test holds."""
    rules = engine.lifecycle
    rules.boot = Boot(boot, lambda: time.elapsed_us)
    return rules


def pruner(engine: Engine, time: Time, worker_id: str = "wrk_1", boot: str = "boot") -> Pruner:
    return Pruner(store=engine.store, lifecycle=ruled(engine, time, boot), worker=lambda: worker_id, settings=SETTINGS)


async def aged(engine: Engine, agent_id: str, seconds: float, owner: str = "ann") -> str:
    """A session whose last activity was so long ago."""
    session = await engine.create_session(owner, agent_id)
    await engine.store.write(_age, [session.id], int(seconds * 1_000_000))
    return session.id


def _age(conn: Connection, ids: Sequence[str], us: int) -> None:
    conn.execute(update(sessions).where(sessions.c.id.in_(ids)).values(last_activity=sessions.c.last_activity - us))


async def there(engine: Engine) -> set[str]:
    def found(conn: Connection) -> set[str]:
        return set(conn.execute(select(sessions.c.id).where(sessions.c.owner != "")).scalars())

    return await engine.store.read(found)


async def yesterday(engine: Engine) -> None:
    """The last run was that of the day before: the next one is due."""

    def set_back(conn: Connection) -> None:
        day = now_us() // (DAY_S * 1_000_000) - 2
        retention.done(conn, day)

    await engine.store.write(set_back)


@pytest.mark.promise("S-06")
async def test_each_agents_sessions_go_when_they_are_too_old_and_others_stay(engine: Engine, time: Time) -> None:
    old = {
        await aged(engine, "ninety", 91 * DAY_S),
        await aged(engine, "week", 7 * DAY_S + 60),
        await aged(engine, "hour", 3700),
    }
    young = {await aged(engine, "ninety", 89 * DAY_S), await aged(engine, "week", 7 * DAY_S - 60)}
    kept = await aged(engine, "week", 8 * DAY_S)
    await engine.change_session("ann", kept, {"keep": True})
    duty = pruner(engine, time)
    await duty.step()
    assert old <= await there(engine), "a new store begins with the next day"
    await yesterday(engine)
    await duty.step()
    assert await there(engine) == young | {kept}
    for session_id in old:
        with pytest.raises(SessionNotFound):
            await engine.snapshot("ann", session_id)
    asked = await engine.store.read(lambda conn: set(conn.execute(select(chores.c.session_id)).scalars()))
    gone = await engine.store.read(lambda conn: set(conn.execute(select(sessions.c.id)).scalars()))
    assert old & gone <= asked, "what is gone is erased, too"


@pytest.mark.promise("S-06")
async def test_a_day_is_done_once_and_by_one(engine: Engine, time: Time) -> None:
    one, other = pruner(engine, time, "wrk_1"), pruner(engine, time, "wrk_2")
    for worker_id in ("wrk_1", "wrk_2"):
        await engine.store.write(workers.register, worker_id)
    await one.step()
    await yesterday(engine)
    rules = engine.lifecycle
    due = await engine.store.write(retention.due, "wrk_1", 2, rules.ages_us, rules.boot, rules.window_us)
    assert due is not None
    old = await aged(engine, "week", 8 * DAY_S)
    await other.step()
    assert old in await there(engine), "it is another one's"
    await engine.store.write(workers.remove, "wrk_1")
    await other.step()
    assert old not in await there(engine), "and free when that one has died"
    later = await aged(engine, "week", 8 * DAY_S)
    await other.step()
    assert later in await there(engine), "today's is done"


@pytest.mark.promise("S-06")
async def test_nothing_that_runs_or_waits_is_removed(engine: Engine, time: Time, puppets: Puppets) -> None:
    talk = await Talk.begin(engine, "week")
    turn = await talk.send("Go on")
    puppet = await puppets.of(turn.id)
    await engine.store.write(_age, [talk.id], 8 * DAY_S * 1_000_000)
    await pruner(engine, time).step()
    await yesterday(engine)
    await pruner(engine, time).step()
    await engine.lifecycle.visit("ann", talk.id)
    assert (await engine.lifecycle.preview("ann", 10))[0] == 0
    puppet.say("Done")
    puppet.end()
    assert (await talk.ended(turn.id)).status == "completed"


@pytest.mark.promise("S-06")
async def test_a_short_one_is_checked_when_somebody_comes(engine: Engine, time: Time) -> None:
    ruled(engine, time)
    old, young = await aged(engine, "hour", 3700), await aged(engine, "hour", 3500)
    for session_id in (old, young):
        await engine.lifecycle.visit("ann", session_id)
    assert await there(engine) & {old, young} == {young}
    bound = await engine.create_session("ann", "hour", context="tool/1")
    await engine.store.write(_age, [bound.id], 3700 * 1_000_000)
    again = await engine.begin_session("ann", "hour", context="tool/1")
    assert again.created, "the thread has expired, and a new one begins"


@pytest.mark.promise("S-06")
async def test_the_owner_sees_before_what_would_go(engine: Engine, time: Time) -> None:
    ruled(engine, time)
    old = [await aged(engine, "week", days * DAY_S) for days in (9, 8)]
    foreign = await aged(engine, "week", 9 * DAY_S, owner="bob")
    young = await aged(engine, "week", 6 * DAY_S)
    count, shown = await engine.lifecycle.preview("ann", 1)
    assert (count, [session.id for session in shown]) == (2, old[:1])
    assert await engine.lifecycle.prune_all("ann") == 2
    assert {foreign, young} <= await there(engine)
    assert not set(old) & await there(engine)


@pytest.mark.promise("S-06")
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_a_jump_removes_nothing_and_when_it_is_over_the_right_ones_go(
    engine: Engine, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    duty = pruner(engine, time)
    await duty.step()
    old, young = await aged(engine, "week", 8 * DAY_S), await aged(engine, "week", 6 * DAY_S)
    everything = await there(engine)
    await yesterday(engine)
    time.jump(30 * DAY_S)
    with caplog.at_level(logging.WARNING):
        await duty.step()
        await duty.step()
    assert [record.message for record in caplog.records].count(
        "the clock was put forward; nothing is removed for its age until it is sane"
    ) == 1
    for session_id in (old, young):
        await engine.lifecycle.visit("ann", session_id)
    with pytest.raises(ClockJumped):
        await engine.lifecycle.prune_all("ann")
    assert await there(engine) == everything
    time.jump(-30 * DAY_S - HOUR_S)
    await duty.step()
    assert await there(engine) == everything - {old}


@pytest.mark.promise("S-06")
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_after_a_restart_of_the_machine_not_many_go_in_a_day(
    engine: Engine, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    await pruner(engine, time).step()
    many = [await aged(engine, "week", 9 * DAY_S - number * MINUTE_S) for number in range(2 * retention.FEW + 1)]
    await yesterday(engine)
    duty = pruner(engine, time, boot="another")
    await engine.lifecycle.visit("ann", many[0])
    assert await there(engine) == set(many)
    with caplog.at_level(logging.WARNING):
        await duty.step()
        await duty.step()
    assert "201 of 201 sessions are too old" in caplog.text
    assert "the 100 oldest are removed today" in caplog.text
    assert await there(engine) == set(many[100:]), "the oldest, once"
    time.pass_by(DAY_S)
    await duty.step()
    assert await there(engine) == set(many[200:]), "and what has piled up goes day by day"
    time.pass_by(DAY_S)
    await duty.step()
    assert await there(engine) == set()
    more = [await aged(engine, "week", 8 * DAY_S) for _ in range(retention.FEW + 1)]
    assert await engine.lifecycle.prune_all("ann") == len(more), "who asks for it gets it"


@pytest.mark.promise("S-06")
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_who_dies_again_and_again_removes_no_more_in_a_day(engine: Engine, time: Time) -> None:
    await pruner(engine, time).step()
    many = [await aged(engine, "week", 8 * DAY_S) for _ in range(retention.FEW + 1)]
    await yesterday(engine)
    rules = ruled(engine, time, "another")
    removes = rules.prune_all

    async def die(owner: str | None = None, most: int | None = None) -> int:
        await removes(owner, most)
        raise Dead

    rules.prune_all = die  # type: ignore[method-assign]
    for _ in range(2):
        with contextlib.suppress(Dead):
            await pruner(engine, time, boot="another").step()
    assert len(await there(engine)) == len(many) - retention.FEW


class Dead(Exception):
    pass


@pytest.mark.promise("S-06")
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_a_clock_that_goes_steadily_is_proven_after_the_longest_age(engine: Engine, time: Time) -> None:
    await pruner(engine, time).step()
    duty = pruner(engine, time, boot="another")
    for _ in range(90):
        await duty.step()
        time.pass_by(DAY_S - 60)
    many = [await aged(engine, "week", 8 * DAY_S) for _ in range(2 * retention.FEW + 1)]
    await duty.step()
    assert len(await there(engine)) == len(many) - retention.FEW
    time.pass_by(DAY_S)
    await duty.step()
    assert await there(engine) == set()


@pytest.mark.promise("S-06")
async def test_two_who_prune_and_one_who_speaks_meet_on_the_row(engine: Engine, time: Time, puppets: Puppets) -> None:
    """Whoever is first wins: a session is either answered or gone, never half of it."""
    ruled(engine, time)
    talks = [Talk(engine, "ann", await aged(engine, "week", 8 * DAY_S)) for _ in range(10)]
    sent = asyncio.gather(*(talk.send() for talk in talks), return_exceptions=True)
    await asyncio.gather(sent, engine.lifecycle.prune_all("ann"), engine.lifecycle.prune_all("ann"))
    left = await there(engine)
    for talk, turn in zip(talks, sent.result(), strict=True):
        if talk.id in left:
            assert not isinstance(turn, BaseException)
            (await puppets.of(turn.id)).end()
        else:
            assert isinstance(turn, SessionNotFound)
