"""Limits per agent, per owner, of background turns and of the process: who is over one waits, and nobody waits in vain.

There are no loops here: whatever is taken up, is because a turn has ended, not because somebody swept past.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, text

from legato.agents.registry import AgentSpec
from legato.core.model import Turn
from legato.engine.settings import EngineSettings
from tests.engine.talking import Talk, true
from tests.engine.wiring import Wired, opened, working
from tests.http.puppets import Puppets

pytestmark = [pytest.mark.anyio, pytest.mark.promise("R-15")]


class House:
    """A worker with the agents ``narrow`` and ``wide``."""

    def __init__(self, worker: Wired, puppets: Puppets) -> None:
        self.worker = worker
        self.puppets = puppets

    async def talks(self, count: int, agent_id: str = "wide", owner: str = "ann") -> list[Talk]:
        return [await Talk.begin(self.worker.engine, agent_id, owner) for _ in range(count)]

    async def runs(self, turn: Turn) -> None:
        """Returns as soon as it does."""
        await self.puppets.of(turn.id)

    async def waits(self, *sent: tuple[Talk, Turn]) -> None:
        """These turns are queued, also after everybody has had his look."""
        await self.worker.dispatcher.sweep()
        await self.worker.dispatcher._idle.wait()
        for talk, turn in sent:
            assert (await talk.turn(turn.id)).status == "queued"
            assert not self.puppets.plays(turn.id)

    async def end(self, talk: Talk, turn: Turn) -> Turn:
        """Lets it say something and come to its end."""
        puppet = await self.puppets.of(turn.id)
        puppet.say("Done.")
        puppet.end()
        return await talk.ended(turn.id)


async def moved_in(stack: AsyncExitStack, url: str, *, narrow: int | None = None, **settings: Any) -> House:
    puppets = Puppets()
    agents = [
        AgentSpec(id="wide", name="Wide", run=puppets.answer),
        AgentSpec(id="narrow", name="Narrow", run=puppets.answer, max_running=narrow),
    ]
    store = await stack.enter_async_context(opened(url))
    worker = await stack.enter_async_context(working(store, *agents, settings=EngineSettings(**settings)))
    return House(worker, puppets)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


async def test_so_many_turns_of_an_agent_run_at_once(url: str, stack: AsyncExitStack) -> None:
    house = await moved_in(stack, url, narrow=2)
    talks = [*await house.talks(2, "narrow"), *await house.talks(3, "narrow", "bob")]
    turns = [await talk.send() for talk in talks]
    await house.runs(turns[0])
    await house.runs(turns[1])
    await house.waits(*zip(talks[2:], turns[2:], strict=True))
    [elsewhere] = await house.talks(1, "wide")
    await house.runs(await elsewhere.send())

    await house.end(talks[1], turns[1])
    await house.runs(turns[2])
    await house.waits(*zip(talks[3:], turns[3:], strict=True))
    for at in (0, 2, 3, 4):
        assert (await house.end(talks[at], turns[at])).status == "completed"


async def test_so_many_turns_of_an_owner_run_at_once(url: str, stack: AsyncExitStack) -> None:
    house = await moved_in(stack, url, max_running_per_owner=2)
    hers = [*await house.talks(2, "wide"), *await house.talks(2, "narrow")]
    turns = [await talk.send() for talk in hers]
    await house.runs(turns[1])
    await house.waits((hers[2], turns[2]), (hers[3], turns[3]))
    [his] = await house.talks(1, "wide", "bob")
    await house.runs(await his.send())

    await house.end(hers[0], turns[0])
    await house.runs(turns[2])
    await house.waits((hers[3], turns[3]))
    await house.end(hers[1], turns[1])
    await house.runs(turns[3])


async def test_so_many_background_turns_run_at_once_and_people_beside_them(sqlite: str, stack: AsyncExitStack) -> None:
    house = await moved_in(stack, sqlite, max_background=1)
    one, two, person = await house.talks(3)
    first = await one.send(priority="background")
    second = await two.send(priority="background")
    await house.runs(first)
    await house.waits((two, second))
    await house.runs(await person.send())
    await house.end(one, first)
    await house.runs(second)


async def test_many_background_sends_at_once_do_not_exceed_their_limit(sqlite: str, stack: AsyncExitStack) -> None:
    house = await moved_in(stack, sqlite, max_background=3)
    talks = await house.talks(12)
    turns = await asyncio.gather(*(talk.send(priority="background") for talk in talks))
    for left in range(12, 0, -1):
        await house.worker.dispatcher._idle.wait()
        await true(partial(_has, house.worker, min(3, left)))
        await house.worker.dispatcher.sweep()
        await house.worker.dispatcher._idle.wait()
        assert house.worker.runner.background == min(3, left)
        live, _ = next(iter(house.worker.runner.live))
        [at] = [at for at, turn in enumerate(turns) if turn.id == live]
        await house.end(talks[at], turns[at])


@pytest.mark.parametrize(
    "limit", [{"max_running": 1}, {"narrow": 1}, {"max_running_per_owner": 1}], ids=lambda limit: next(iter(limit))
)
async def test_people_are_taken_up_before_what_could_wait_and_came_earlier(
    url: str, stack: AsyncExitStack, limit: dict[str, int]
) -> None:
    """Also before what waits in the very session whose turn has ended."""
    house = await moved_in(stack, url, **limit)
    busy, patient, person = await house.talks(3, "narrow")
    running = await busy.send(priority="background")
    next_there = await busy.send(priority="background")
    earlier = await patient.send(priority="background")
    late = await person.send()
    await house.waits((busy, next_there), (patient, earlier), (person, late))

    await house.end(busy, running)
    await house.runs(late)
    await house.waits((busy, next_there), (patient, earlier))
    await house.end(person, late)
    await house.runs(next_there)
    await house.end(busy, next_there)
    await house.end(patient, earlier)


async def test_within_a_session_the_order_stays(sqlite: str, stack: AsyncExitStack) -> None:
    house = await moved_in(stack, sqlite, narrow=1)
    [talk] = await house.talks(1, "narrow")
    turns = [await talk.send(priority=priority) for priority in ("interactive", "background", "interactive")]
    for at, turn in enumerate(turns):
        await house.runs(turn)
        await house.waits(*((talk, later) for later in turns[at + 1 :]))
        await house.end(talk, turn)


async def test_a_person_does_not_wait_for_another_session_in_which_one_waits_behind_background_turns(
    sqlite: str, stack: AsyncExitStack
) -> None:
    house = await moved_in(stack, sqlite, max_background=1, max_running=2)
    busy, filler, mixed, person = await house.talks(4)
    await busy.send(priority="background")
    filling = await filler.send()
    behind = [await mixed.send(priority="background"), await mixed.send()]
    late = await person.send()
    await house.waits((mixed, behind[0]), (mixed, behind[1]), (person, late))
    await house.end(filler, filling)
    await house.runs(late)


@pytest.mark.parametrize("mode", ["interrupt", "rollback"])
async def test_who_interrupts_takes_the_place_of_the_interrupted(url: str, stack: AsyncExitStack, mode: Any) -> None:
    house = await moved_in(stack, url, max_running_per_owner=1)
    one, two = await house.talks(2)
    running, waiting = await one.send(), await two.send()
    await house.runs(running)
    sent = await one.send("No!", mode=mode)
    await house.runs(sent)
    assert (await one.ended(running.id)).status == "cancelled"
    await house.waits((two, waiting))

    urgent = await two.send("Now!", mode=mode)  # nothing runs there to be interrupted, and there is no room
    await house.waits((two, waiting), (two, urgent))
    await house.end(one, sent)
    await house.runs(urgent)
    await house.waits((two, waiting))
    await house.end(two, urgent)
    await house.runs(waiting)


async def test_steering_needs_no_place_where_a_turn_runs_and_waits_for_one_where_none_does(
    sqlite: str, stack: AsyncExitStack
) -> None:
    house = await moved_in(stack, sqlite, narrow=1)
    one, two = await house.talks(2, "narrow")
    running = await one.send()
    puppet = await house.puppets.of(running.id)
    steering, alone = await one.send("Shorter", mode="steer"), await two.send("Shorter", mode="steer")
    await house.waits((two, alone))
    puppet.steer()
    await one.ended(steering.id)
    assert (await one.turn(steering.id)).reason == "steered"
    await house.waits((two, alone))
    await house.end(one, running)
    assert (await house.end(two, alone)).status == "completed"


async def test_who_waits_for_a_limit_can_be_withdrawn_and_cancelled(url: str, stack: AsyncExitStack) -> None:
    house = await moved_in(stack, url, narrow=1)
    one, *others = await house.talks(4, "narrow")
    running = await one.send()
    withdrawn, cancelled, left = [await talk.send() for talk in others]
    ended = await house.worker.engine.withdraw("ann", others[0].id, withdrawn.id)
    assert (ended.status, ended.reason) == ("cancelled", "withdrawn")
    assert (await others[1].cancel(cancelled.id)).status == "cancelled"
    await house.waits((others[2], left))
    assert (await one.turn(running.id)).status == "in_progress"
    await one.cancel(running.id)
    await house.runs(left)
    assert not house.puppets.plays(withdrawn.id)
    assert not house.puppets.plays(cancelled.id)


async def test_limits_refuse_nobody(sqlite: str, stack: AsyncExitStack) -> None:
    """Neither those who send, nor who asks again, in whatever mode; only a full session does."""
    house = await moved_in(stack, sqlite, narrow=1, max_background=1, max_running=1, max_running_per_owner=1)
    busy, talk, other = await house.talks(3, "narrow")
    running = await busy.send()
    await house.runs(running)
    first = await talk.sent("Hello", "mine", mode="reject")
    again = await talk.sent("Hello", "mine", mode="reject")
    assert (first.fresh, first.turn.status, again.fresh, again.turn.id) == (True, "queued", False, first.turn.id)
    for mode in ("queue", "interrupt", "rollback", "steer"):
        for priority in ("interactive", "background"):
            assert (await other.send(mode=mode, priority=priority)).status == "queued"
    await house.end(busy, running)
    await house.runs(first.turn)


async def test_a_place_that_becomes_free_during_a_look_is_not_missed(sqlite: str, stack: AsyncExitStack) -> None:
    house = await moved_in(stack, sqlite, narrow=2)
    talks = await house.talks(4, "narrow")
    turns = [await talk.send() for talk in talks]
    await house.waits((talks[2], turns[2]), (talks[3], turns[3]))
    store = house.worker.store
    store.waiting = asyncio.Event()
    store.held = {"claimable"}
    await house.end(talks[0], turns[0])
    await store.waiting.wait()  # it has read that there is one place
    await house.end(talks[1], turns[1])
    await true(lambda: turns[1].id not in {turn_id for turn_id, _ in house.worker.runner.live})
    store.held = set()
    store.released.set()
    await house.runs(turns[2])
    await house.runs(turns[3])


async def test_limits_of_agents_and_owners_hold_over_processes(postgres: str, stack: AsyncExitStack) -> None:
    limits = {"narrow": 2, "max_running_per_owner": 3}
    here, there = await moved_in(stack, postgres, **limits), await moved_in(stack, postgres, **limits)
    hers, his = await here.talks(3, "narrow"), await here.talks(2, "wide")
    first, second = await hers[0].send(), await hers[1].on(there.worker.engine).send()
    await here.runs(first)
    await there.runs(second)
    third = await hers[2].on(there.worker.engine).send()
    await here.waits((hers[2], third))
    await there.waits((hers[2], third))
    fourth, fifth = await his[0].on(there.worker.engine).send(), await his[1].send()
    await there.runs(fourth)
    await here.waits((his[1], fifth))

    await here.end(hers[0], first)  # accepted there, and taken up here: here is where it ended
    await here.runs(third)
    assert not there.puppets.plays(third.id)
    await there.waits((his[1], fifth))
    await there.end(his[0].on(there.worker.engine), fourth)
    await there.runs(fifth)


async def test_a_dead_workers_places_are_taken_up_when_its_turns_are_rescued(
    postgres: str, stack: AsyncExitStack
) -> None:
    here, there = await moved_in(stack, postgres, narrow=1), await moved_in(stack, postgres, narrow=1)
    one, two = await here.talks(2, "narrow")
    lost, waiting = await one.on(there.worker.engine).send(), await two.send()
    await there.runs(lost)
    await here.waits((two, waiting))
    await here.worker.store.write(_forget_owner_of, lost.id)
    await here.worker.lifeline.sweep()
    await here.runs(waiting)
    assert (await one.turn(lost.id)).reason == "worker_lost"


def _has(worker: Wired, background: int) -> bool:
    return worker.runner.background >= background


def _forget_owner_of(conn: Connection, turn_id: str) -> None:
    conn.execute(text("DELETE FROM workers WHERE id = (SELECT worker_id FROM turns WHERE id = :id)"), {"id": turn_id})
