"""Accepting: what is taken once, what is refused, and what is durable when the answer goes out."""

import asyncio
from typing import Any

import anyio
import pytest

from legato import Legato
from legato.agents.builtin import assistant
from legato.agents.config import Config
from legato.agents.registry import AgentSpec
from legato.core.errors import (
    AgentNotFound,
    ContextOverflow,
    Invalid,
    MessageIdReused,
    ModelNotFound,
    SessionClosed,
    SessionExists,
    SessionNotFound,
    Unavailable,
)
from legato.core.events import MessageEvent
from legato.core.ids import new_id
from legato.core.model import TextPart, Turn
from legato.engine.engine import SendRequest
from legato.engine.settings import EngineSettings
from legato.providers.catalog import ModelEntry
from legato.store import claiming
from tests.engine.talking import Talk, only, text_of
from tests.engine.wiring import Wired, opened, working
from tests.http.puppets import Puppets
from tests.support.brief import BRIEF
from tests.support.conversation import claimant
from tests.support.upstream import Upstream

pytestmark = pytest.mark.anyio


@pytest.mark.promise("R-02")
async def test_the_same_message_id_is_the_same_turn_for_the_sessions_life(talk: Talk, puppets: Puppets) -> None:
    first = await talk.sent("Hello", "mine")
    again = await talk.sent("Hello", "mine")
    assert (first.fresh, again.fresh, again.turn.id, again.cursor) == (True, False, first.turn.id, first.cursor)
    puppet = await puppets.of(first.turn.id)
    puppet.say("Hi.")
    puppet.end()
    ended = await talk.ended(first.turn.id)
    late = await talk.sent("Hello", "mine")
    assert (late.fresh, late.turn, late.cursor) == (False, ended, first.cursor)
    await talk.engine.clear("ann", talk.id)
    assert (await talk.sent("Hello", "mine")).turn.id == first.turn.id
    assert len([e for e in only(MessageEvent, await talk.told()) if e.op == "added"]) == 0


@pytest.mark.promise("R-02")
@pytest.mark.parametrize(
    "change", [{"text": "Bye"}, {"mode": "interrupt"}, {"priority": "background"}, {"model_id": "openai:other"}]
)
async def test_the_same_message_id_with_another_body_is_refused(
    sqlite: str, upstream: Upstream, puppets: Puppets, change: dict[str, Any]
) -> None:
    chat = Legato(sqlite, settings=BRIEF, environment={"OPENAI_BASE_URL": upstream.url})
    chat.agent("puppet", model="openai:m")(puppets.answer)
    async with chat.lifespan():
        talk = await Talk.begin(chat.engine)
        await talk.sent("Hello", "mine")
        with pytest.raises(MessageIdReused):
            await talk.sent(**({"text": "Hello", "message_id": "mine"} | change))
        assert len((await talk.state()).turns) == 1


@pytest.mark.promise("R-02")
async def test_repeats_at_the_same_time_are_one_turn(talk: Talk) -> None:
    sent = await asyncio.gather(*(talk.sent("Hello", "mine") for _ in range(20)))
    assert len({answer.turn.id for answer in sent}) == 1
    assert [answer.fresh for answer in sent].count(True) == 1


@pytest.mark.promise("R-02")
async def test_a_message_id_belongs_to_its_session(chat: Legato, talk: Talk) -> None:
    other = await Talk.begin(chat.engine)
    assert (await talk.sent("Hello", "mine")).turn.id != (await other.sent("Bye", "mine")).turn.id


@pytest.mark.promise("R-01")
async def test_what_was_accepted_is_there_after_a_start_with_nobody_having_run_it(
    sqlite: str, puppets: Puppets
) -> None:
    async with opened(sqlite) as store, working(store) as worker:
        worker.dispatcher.accepting = False
        worker.engine.registry.register(_spec(puppets))
        talk = await Talk.begin(worker.engine)
        turn = await talk.send()
    chat = Legato(sqlite, settings=BRIEF, environment={})
    chat.agent("puppet")(puppets.answer)
    async with chat.lifespan():
        puppet = await puppets.of(turn.id)
        puppet.say("At last.")
        puppet.end()
        assert (await talk.on(chat.engine).ended(turn.id)).status == "completed"


async def left_waiting(worker: Wired, talk: Talk) -> Turn:
    """A turn that nobody took when it was accepted."""
    worker.dispatcher.accepting = False
    turn = await talk.send()
    worker.dispatcher.accepting = True
    return turn


async def test_a_claim_that_fails_is_made_again(
    sqlite: str, puppets: Puppets, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(sqlite) as store, working(store, _spec(puppets)) as worker:
        talk = await Talk.begin(worker.engine)
        store.broken = {"claim"}
        turn = await left_waiting(worker, talk)
        worker.dispatcher.wake(talk.id)
        await store.refused.wait()
        await worker.tasks.settle(5)
        assert "a claim did not succeed: store_unavailable" in caplog.text
        store.broken = set()
        await worker.dispatcher.sweep()
        await puppets.of(turn.id)
        await worker.dispatcher.sweep()


async def test_so_many_turns_run_at_once_and_the_others_wait_in_the_store(sqlite: str, puppets: Puppets) -> None:
    settings = EngineSettings(max_running=1)
    async with opened(sqlite) as store, working(store, _spec(puppets), settings=settings) as worker:
        one, two = await Talk.begin(worker.engine), await Talk.begin(worker.engine)
        first = await one.send()
        puppet = await puppets.of(first.id)
        second = await two.send()
        await worker.dispatcher.sweep()
        assert (await two.turn(second.id)).status == "queued"
        puppet.say("Done.")
        puppet.end()
        await one.ended(first.id)
        await worker.tasks.settle(5)
        await worker.dispatcher.sweep()
        await puppets.of(second.id)


async def test_a_wake_while_a_claim_is_on_its_way_is_not_forgotten(sqlite: str, puppets: Puppets) -> None:
    async with opened(sqlite) as store, working(store, _spec(puppets)) as worker:
        talk = await Talk.begin(worker.engine)
        store.held = {"claim"}
        turn = await left_waiting(worker, talk)
        worker.dispatcher.wake(talk.id)
        await store.waiting.wait()
        worker.dispatcher.wake(talk.id)
        store.released.set()
        await puppets.of(turn.id)


@pytest.mark.promise("R-05")
async def test_a_claim_that_is_on_its_way_at_shutdown_takes_nothing_that_would_not_run(
    sqlite: str, puppets: Puppets
) -> None:
    async with opened(sqlite) as store, working(store, _spec(puppets)) as worker:
        talk = await Talk.begin(worker.engine)
        running = await talk.send()
        await puppets.of(running.id)
        store.held = {"claim"}
        waiting = await talk.send("And then?")
        await store.waiting.wait()
        async with asyncio.TaskGroup() as group:
            settling = group.create_task(worker.dispatcher.settle())
            await anyio.wait_all_tasks_blocked()
            assert not settling.done()
            store.released.set()
        worker.runner.stop_all("shutdown")
        await worker.tasks.settle(5)
        assert (await talk.turn(running.id)).status == "in_progress", "it is parked: it had said nothing"
        assert (await talk.turn(waiting.id)).status == "queued"


@pytest.mark.promise("R-05")
async def test_a_claim_that_succeeds_after_all_at_shutdown_hands_its_turn_over(sqlite: str, puppets: Puppets) -> None:
    async with opened(sqlite) as store, working(store, _spec(puppets)) as worker:
        talk = await Talk.begin(worker.engine)
        store.held = {"claim"}
        turn = await left_waiting(worker, talk)
        worker.dispatcher.wake(talk.id)
        await store.waiting.wait()
        worker.runner.stop_all("shutdown")
        store.released.set()
        await worker.dispatcher.settle()
        await worker.runner.idle()
        assert await store.read(claiming.claimable, claimant("wrk_1", "puppet"), 10) == [talk.id]
        assert (await talk.turn(turn.id)).status == "in_progress"


@pytest.mark.parametrize(
    ("text", "said"), [("x" * 50_001, "50000 characters"), ("", "some text"), (" \n", "some text")]
)
async def test_a_message_has_some_text_and_not_too_much(talk: Talk, text: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        await talk.send(text)
    with pytest.raises(Invalid, match="some text"):
        await talk.engine.send("ann", talk.id, SendRequest(parts=()))
    assert await talk.texts() == []
    await talk.send("x" * 50_000)


@pytest.mark.promise("C-01")
async def test_a_message_that_can_never_fit_is_refused_with_the_numbers(sqlite: str, upstream: Upstream) -> None:
    models = (ModelEntry(id="openai:small", context_window=2048 + 100),)
    chat = Legato(sqlite, settings=BRIEF, config=Config(models=models), environment={"OPENAI_BASE_URL": upstream.url})
    chat.agent("model", model="openai:small")(assistant)
    async with chat.lifespan():
        talk = await Talk.begin(chat.engine)
        with pytest.raises(ContextOverflow) as refused:
            await talk.send("word " * 500)
        assert refused.value.details["available"] == 100
        assert refused.value.details["window"] == 2148
        assert await talk.texts() == []
        assert (await talk.ask("count 2")).status == "completed"
        assert (await talk.ask("word " * 20)).status == "completed", "what is old falls out"
        assert len(upstream.exchanges[-1].body["messages"]) == 1


@pytest.mark.promise("S-17")
async def test_unknown_agents_and_models_are_named(chat: Legato, sqlite: str, upstream: Upstream) -> None:
    with pytest.raises(AgentNotFound, match="nobody"):
        await chat.engine.create_session("ann", "nobody")
    with pytest.raises(ModelNotFound, match="openai:nothing"):
        await chat.engine.create_session("ann", model_id="openai:nothing")
    talk = await Talk.begin(chat.engine)
    with pytest.raises(ModelNotFound, match="nobody:nothing"):
        await talk.send(model_id="nobody:nothing")
    assert await talk.texts() == []


async def test_a_session_of_an_agent_that_is_gone_takes_messages_and_nobody_answers(
    sqlite: str, puppets: Puppets
) -> None:
    async with opened(sqlite) as store:
        async with working(store, _spec(puppets)) as worker:
            talk = await Talk.begin(worker.engine)
        async with working(store) as worker:
            turn = await talk.on(worker.engine).send()
            await worker.dispatcher.sweep()
            await worker.tasks.settle(5)
            assert (await talk.on(worker.engine).turn(turn.id)).status == "queued"


@pytest.mark.promise("S-16")
async def test_sessions_are_their_owners_alone(chat: Legato, talk: Talk) -> None:
    engine = chat.engine
    turn = await talk.send()
    for session_id in (talk.id, new_id("ses")):
        for call in (
            engine.get_session("bob", session_id),
            engine.snapshot("bob", session_id),
            engine.head("bob", session_id),
            engine.stats("bob", session_id),
            engine.clear("bob", session_id),
            engine.change_session("bob", session_id, {"title": "Mine"}),
            engine.turn("bob", session_id, turn.id),
            engine.done_seq("bob", session_id, turn.id),
            engine.send("bob", session_id, SendRequest(parts=(TextPart("Hi"),))),
            engine.go_on("bob", session_id, turn.id, None),
        ):
            with pytest.raises(SessionNotFound, match=r"^There is no such session\.$"):
                await call
    with pytest.raises(SessionExists):
        await engine.create_session("bob", session_id=talk.id)


async def test_a_closed_session_takes_no_messages(chat: Legato, talk: Talk) -> None:
    assert (await chat.engine.change_session("ann", talk.id, {"closed": True})).read_only
    with pytest.raises(SessionClosed):
        await talk.send()
    await chat.engine.change_session("ann", talk.id, {"closed": False})
    await talk.send()


async def test_where_a_turn_ended_is_known_when_it_has(talk: Talk, puppets: Puppets) -> None:
    turn = await talk.send()
    assert await talk.engine.done_seq("ann", talk.id, turn.id) is None
    puppet = await puppets.of(turn.id)
    puppet.say("Yes.")
    puppet.end()
    told = await talk.followed(turn.id)
    assert await talk.engine.done_seq("ann", talk.id, turn.id) == told[-1][0]
    assert talk.engine.cursor(told[-1][0]).incarnation == talk.engine.store.incarnation


async def test_while_the_store_is_away_nothing_is_accepted(sqlite: str, puppets: Puppets) -> None:
    async with opened(sqlite) as store, working(store, _spec(puppets)) as worker:
        talk = await Talk.begin(worker.engine)
        store.down = True
        with pytest.raises(Unavailable):
            await talk.send()
        store.down = False
        turn = await talk.send()
        assert text_of((await puppets.of(turn.id)).turn.message) == "Hello"


def _spec(puppets: Puppets) -> AgentSpec:
    return AgentSpec(id="puppet", name="Puppet", run=puppets.answer)
