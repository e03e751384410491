"""Turns end whatever their agent, their claim or their readers do (guarantees G2, G4, G7): what a review found possible."""

import asyncio
from collections.abc import AsyncIterator

import anyio
import pytest

from legato import Legato, Turn
from legato.agents.registry import AgentSpec
from legato.core.sse import Parser
from legato.engine.engine import Engine
from legato.engine.settings import EngineSettings
from legato.store import claiming
from tests.engine.talking import Talk
from tests.engine.wiring import FaultyStore, opened, working
from tests.http.puppets import Puppets
from tests.support.brief import BRIEF
from tests.support.conversation import claimant

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(sqlite: str) -> AsyncIterator[FaultyStore]:
    async with opened(sqlite) as store:
        yield store


@pytest.mark.promise("R-05")
async def test_an_agent_that_ignores_cancellation_holds_up_neither_its_turn_nor_the_shutdown(sqlite: str) -> None:
    tired = False
    told = 0

    async def answer(turn: Turn) -> AsyncIterator[str]:
        nonlocal told
        yield "I stay. "
        while not tired:
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                told += 1
        yield "Still here."

    chat = Legato(sqlite, environment={}, settings=EngineSettings(close_upstream_s=0.2, grace_s=0.2, titles=False))
    chat.agent("stubborn", max_turn_s=0.3)(answer)
    await chat.start()
    talk = await Talk.begin(chat.engine)
    turn = await talk.ask()
    assert (turn.status, turn.error and turn.error.code) == ("failed", "turn_timeout")
    tired, times = True, told
    await chat.stop()
    assert times == 2, (
        "one that does not listen is not told in each round of the event loop: nobody else would be served"
    )


@pytest.mark.promise("R-05")
async def test_a_cancellation_inside_the_agent_is_its_own_failure(chat: Legato, sqlite: str) -> None:
    async def answer(turn: Turn) -> AsyncIterator[str]:
        yield "I wait for "
        inner = asyncio.ensure_future(asyncio.sleep(60))
        asyncio.get_running_loop().call_soon(inner.cancel)
        await inner
        yield "nothing."

    chat.engine.registry.register(AgentSpec(id="clumsy", name="Clumsy", run=answer))
    talk = await Talk.begin(chat.engine, "clumsy")
    turn = await talk.ask()
    assert (turn.status, turn.error and turn.error.code) == ("failed", "agent_error")
    assert await talk.texts() == ["Hello", "I wait for "]


@pytest.mark.promise("R-06")
async def test_a_turn_whose_claim_was_lost_on_the_way_back_is_found_and_ended(
    store: FaultyStore, puppets: Puppets
) -> None:
    spec = AgentSpec(id="puppet", name="Puppet", run=puppets.answer)
    async with working(store, spec) as worker:
        worker.dispatcher.accepting = False
        talk = await Talk.begin(worker.engine)
        turn = await talk.send()
        await store.write(claiming.claim, talk.id, claimant(worker.dispatcher.worker_id, "puppet"))
        await worker.lifeline.sweep()
        assert (await talk.turn(turn.id)).status == "in_progress", "one look is not enough: it may be starting"
        await worker.lifeline.sweep()
        ended = await talk.turn(turn.id)
    assert (ended.status, ended.reason) == ("incomplete", "worker_lost")


@pytest.mark.promise("R-03")
async def test_what_is_said_after_a_steering_that_was_given_up_belongs_to_the_new_answer(store: FaultyStore) -> None:
    taken: list[str] = []
    impatient = anyio.CancelScope()
    asked, sent, steered = anyio.Event(), anyio.Event(), anyio.Event()

    async def answer(turn: Turn) -> AsyncIterator[str]:
        yield "before "
        asked.set()
        await sent.wait()
        with impatient:
            await turn.steering()
        await steered.wait()
        taken.extend(await turn.steering())
        yield "after"

    async with working(store, AgentSpec(id="hasty", name="Hasty", run=answer)) as worker:
        talk = await Talk.begin(worker.engine)
        turn = await talk.send()
        await asked.wait()
        await talk.said("before ")
        steering = await talk.send("to the left", mode="steer")
        store.held.add("steer")
        store.waiting.clear()
        sent.set()
        await store.waiting.wait()
        impatient.cancel()
        store.released.set()
        await talk.ended(steering.id)
        steered.set()
        await talk.ended(turn.id)
        assert taken == ["to the left"]
        assert await talk.texts() == ["Hello", "before ", "to the left", "after"]


@pytest.mark.promise("S-08", "E-03")
async def test_what_was_cleared_is_not_told_from_memory_either(chat: Legato, puppets: Puppets) -> None:
    talk = await Talk.begin(chat.engine)
    with chat.engine.hub.reader(talk.id, 0) as follower:  # keeps the session's window alive
        turn = await talk.send("the canary sings")
        puppet = await puppets.of(turn.id)
        puppet.say("a secret song")
        puppet.end()
        await talk.ended(turn.id)
        while await follower.next(0.01) is not None:
            continue
        await chat.engine.clear(talk.owner, talk.id)
        assert b"secret song" not in await _everything(chat.engine, talk.id)


async def _everything(engine: Engine, session_id: str) -> bytes:
    told = b""
    with engine.hub.reader(session_id, 0) as reader:
        while (chunk := await reader.next(0.05)) is not None:
            told += chunk.frames
    assert Parser().feed(told), "something was told"
    return told


@pytest.mark.promise("R-02")
async def test_what_was_accepted_once_stays_accepted_when_the_limits_change(sqlite: str, puppets: Puppets) -> None:
    generous = Legato(sqlite, settings=BRIEF, environment={})
    generous.agent("puppet")(puppets.answer)
    async with generous.lifespan():
        talk = await Talk.begin(generous.engine)
        first = await talk.sent("a rather long message", message_id="once")
        await generous.engine.cancel(talk.owner, talk.id, first.turn.id)
    strict = Legato(sqlite, environment={}, settings=EngineSettings(max_message_chars=5))
    strict.agent("puppet")(puppets.answer)
    async with strict.lifespan():
        repeat = await talk.on(strict.engine).sent("a rather long message", message_id="once")
        assert (repeat.turn.id, repeat.fresh) == (first.turn.id, False)


async def test_a_legato_that_was_stopped_can_be_started_again(sqlite: str) -> None:
    chat = Legato(sqlite, settings=BRIEF, environment={})
    async with chat.lifespan():
        pass
    assert chat.draining
    async with chat.lifespan():
        assert not chat.draining
