"""Sessions whose agent keeps their newest messages only: the oldest go by themselves, also before a running turn."""

from collections.abc import AsyncIterator

import pytest

from legato import Legato
from legato.core.events import Event, MessageEvent
from legato.core.fold import Fold
from legato.engine.engine import Engine
from legato.engine.trimmer import Trimmer
from legato.store import trimming
from legato.store.chores import Chore
from tests.engine.talking import Talk
from tests.http.puppets import Puppets, echo
from tests.support.brief import BRIEF

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S-10")]

LIMIT = 4


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def chat(url: str, puppets: Puppets) -> AsyncIterator[Legato]:
    chat = Legato(url, settings=BRIEF, environment={})
    chat.agent("short", history_limit=LIMIT, titles=False)(echo)
    chat.agent("puppet", history_limit=LIMIT, titles=False)(puppets.answer)
    chat.agent("whole", titles=False)(echo)
    async with chat.lifespan():
        yield chat


def removal(event: Event) -> bool:
    return isinstance(event, MessageEvent) and event.op == "removed"


async def test_the_oldest_go_when_a_turn_has_ended(chat: Legato) -> None:
    talk = await Talk.begin(chat.engine, "short")
    for number in range(3):
        turn = await talk.send(f"question {number}")
        await talk.followed(turn.id)  # not ``ask``: what it compares is being trimmed
    told = await talk.until(removal)
    fold = Fold().apply_all([event for _, event in told])
    assert fold.state().messages != ()
    await until_trimmed(chat.engine, talk)
    assert await talk.texts() == [f"{who}question {n}" for n in (1, 2) for who in ("", "You said: ")]
    assert (await chat.engine.stats("ann", talk.id)).turn_count == 3


async def until_trimmed(engine: Engine, talk: Talk) -> None:
    """Every removal is told; a plan that finds nothing says that it was the last."""
    after = 0
    while (await engine.store.read(trimming.plan, talk.id, LIMIT)).slices:
        after = (await talk.until(removal, after))[-1][0]


async def test_an_agent_that_says_nothing_keeps_everything(chat: Legato) -> None:
    talk = await Talk.begin(chat.engine, "whole")
    for number in range(4):
        await talk.ask(f"question {number}")
    assert len(await talk.texts()) == 8


async def test_a_running_turn_goes_on_while_what_lies_before_it_goes(chat: Legato, puppets: Puppets) -> None:
    talk = await Talk.begin(chat.engine, "puppet")
    for number in range(3):
        turn = await talk.send(f"question {number}")
        puppet = await puppets.of(turn.id)
        puppet.say("answer ")
        if number == 2:
            await talk.said("answer ")
            assert await chat_trims(chat, talk) is None
            assert await talk.texts() == ["question 1", "answer 1", "question 2", "answer "]
        puppet.say(str(number))
        puppet.end()
        await talk.followed(turn.id)
    assert await talk.texts() == ["question 1", "answer 1", "question 2", "answer 2"]


async def test_a_turn_that_needs_what_should_go_is_waited_for(chat: Legato, puppets: Puppets) -> None:
    talk = await Talk.begin(chat.engine, "puppet")
    first = await talk.send("question 0")
    puppet = await puppets.of(first.id)
    puppet.say("answer 0")
    puppet.end()
    await talk.ended(first.id)
    running = await talk.send("question 1")
    puppet = await puppets.of(running.id)
    waiting = await talk.send("question 2")
    again = (await chat.engine.retry("ann", talk.id, first.id, None)).turn
    puppet.say("answer 1")
    puppet.end()
    await talk.ended(running.id)
    puppet = await puppets.of(waiting.id)
    assert await chat_trims(chat, talk) == pytest.approx(5.0), "the question that is to be answered again stays"
    puppet.say("answer 2")
    puppet.end()
    await talk.ended(waiting.id)
    puppet = await puppets.of(again.id)
    puppet.say("another answer")
    puppet.end()
    assert (await talk.ended(again.id)).status == "completed"
    assert await talk.texts() == ["question 0", "another answer"]


async def chat_trims(chat: Legato, talk: Talk) -> float | None:
    engine = chat.engine
    trimmer = Trimmer(store=engine.store, publisher=engine._publisher, registry=engine.registry)
    return await trimmer.work(Chore(talk.id, "trim", 1, 1))
