"""An agent that speaks first (promise T-05): ready-made words, a generator's, a model's; and what is answered after them."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from legato import Legato, Turn
from legato.agents.builtin import assistant
from legato.agents.config import Config, ProviderEntry
from legato.agents.registry import AgentSpec, Registry
from legato.core.errors import Misuse
from legato.core.events import Done, UsageEvent
from legato.core.model import Usage
from legato.core.prompt import BEGINNING, OPENING
from tests.engine.talking import Talk, only
from tests.engine.wiring import opened, working
from tests.http.puppets import Puppets, echo
from tests.support.brief import BRIEF
from tests.support.upstream import Upstream

pytestmark = pytest.mark.anyio

GREETING = "Welcome! What may I recommend?"


async def greet(turn: Turn) -> AsyncIterator[str]:
    assert (turn.text, turn.history) == ("", ())
    yield {"sv": "Välkommen"}.get(turn.locale, "Welcome")
    yield f", {turn.session.owner}!"


async def from_model(turn: Turn) -> AsyncIterator[str]:
    async for text in turn.stream():
        yield text


Started = Callable[..., AbstractAsyncContextManager[Legato]]


@pytest.fixture
def started(sqlite: str) -> Started:
    @asynccontextmanager
    async def start(run: Any = echo, config: Config | None = None, **fields: Any) -> AsyncIterator[Legato]:
        chat = Legato(sqlite, settings=BRIEF, config=config, environment={})
        chat.agent("host", **fields)(run)
        async with chat.lifespan():
            yield chat

    return start


async def welcomed(chat: Legato, **fields: Any) -> tuple[Talk, Any]:
    talk = await Talk.begin(chat.engine, **fields)
    told = await talk.until(lambda event: isinstance(event, Done))
    return talk, only(Done, told)[0]


@pytest.mark.promise("T-05")
async def test_ready_made_words_open_a_session_and_cost_nothing(started: Started) -> None:
    async with started(welcome=GREETING) as chat:
        talk, done = await welcomed(chat)
        assert (done.status, done.reason) == ("completed", "stop")
        assert await talk.texts() == [GREETING]
        (message,) = (await talk.state()).messages
        assert (message.role, message.message_type, message.model_id) == ("assistant", "welcome", None)
        assert message.usage == Usage(cost_usd=0.0)
        assert [event.usage() for event in only(UsageEvent, await talk.told())] == [Usage(cost_usd=0.0)]
        assert (await chat.engine.stats("ann", talk.id)).usage == Usage(cost_usd=0.0)
        await talk.ask("Hello")
        assert await talk.texts() == [GREETING, "Hello", "You said: Hello"]


@pytest.mark.promise("T-05")
async def test_a_generator_knows_who_is_welcomed_and_in_which_language(started: Started) -> None:
    async with started(welcome=greet) as chat:
        talk, _ = await welcomed(chat, locale="sv")
        assert await talk.texts() == ["Välkommen, ann!"]
        other, _ = await welcomed(chat)
        assert await other.texts() == ["Welcome, ann!"]


@pytest.mark.promise("T-05", "C-05")
async def test_a_model_that_welcomes_and_then_answers_is_asked_legally(started: Started, upstream: Upstream) -> None:
    """The upstream refuses what the strictest provider would."""
    config = Config(providers={"local": ProviderEntry(base_url=upstream.url)})
    fields = {"welcome": from_model, "model": "local:m", "system": "Be brief."}
    async with started(assistant, config, **fields) as chat:
        talk, done = await welcomed(chat)
        assert done.status == "completed"
        assert await talk.texts() == [f"You said: {BEGINNING}"]
        turn = (await talk.state()).turns[0]
        assert turn.usage is not None
        assert turn.usage.prompt_tokens > 0
        assert turn.model_id == "local:m"

        assert (await talk.ask("Hello")).status == "completed"
        first, second = [
            [(message["role"], message["content"]) for message in exchange.body["messages"]]
            for exchange in upstream.exchanges
        ]
        assert first == [("system", "Be brief."), ("user", BEGINNING)]
        assert second == [
            ("system", "Be brief."),
            ("user", OPENING),
            ("assistant", f"You said: {BEGINNING}"),
            ("user", "Hello"),
        ]


@pytest.mark.promise("T-05")
async def test_who_does_not_want_a_welcome_begins_in_silence(started: Started) -> None:
    async with started(welcome=GREETING) as chat:
        talk = await Talk.begin(chat.engine, welcome=False)
        assert (await talk.state()).turns == ()
        await talk.ask("Hello")
        assert await talk.texts() == ["Hello", "You said: Hello"]


@pytest.mark.promise("T-05")
async def test_an_agent_that_can_not_answer_does_not_welcome(started: Started) -> None:
    async with started(welcome=GREETING, enabled=False) as chat:
        talk = await Talk.begin(chat.engine)
        assert (await talk.state()).turns == ()


@pytest.mark.promise("T-05")
async def test_a_welcome_that_fails_says_so_and_the_session_goes_on(started: Started) -> None:
    async def fail(turn: Turn) -> AsyncIterator[str]:
        yield "Wel"
        raise ValueError

    async with started(welcome=fail) as chat:
        talk, done = await welcomed(chat)
        assert (done.status, done.error and done.error.code) == ("failed", "agent_error")
        await talk.ask("Hello")
        assert await talk.texts() == ["Wel", "Hello", "You said: Hello"]


@pytest.mark.promise("T-05")
async def test_a_retry_welcomes_anew(started: Started) -> None:
    said = iter(("Welcome!", "Be welcome!"))

    async def vary(turn: Turn) -> AsyncIterator[str]:
        yield next(said)

    async with started(welcome=vary) as chat:
        talk, done = await welcomed(chat)
        again = await chat.engine.retry("ann", talk.id, done.turn_id, None)
        assert (await talk.ended(again.turn.id)).kind == "welcome"
        assert await talk.texts() == ["Be welcome!"]


@pytest.mark.promise("T-05", "R-04")
async def test_it_can_be_cancelled_and_steered_like_any_turn(sqlite: str, puppets: Puppets) -> None:
    chat = Legato(sqlite, settings=BRIEF, environment={})
    chat.agent("host", welcome=puppets.answer)(echo)
    async with chat.lifespan():
        talk = await Talk.begin(chat.engine)
        (turn,) = (await talk.state()).turns
        puppet = await puppets.of(turn.id)
        puppet.say("Wel")
        await talk.said("Wel")
        assert (await talk.cancel(turn.id)).status == "cancelled"
        await puppet.gone.wait()
        assert await talk.texts() == ["Wel"]

        talk = await Talk.begin(chat.engine)
        (turn,) = (await talk.state()).turns
        puppet = await puppets.of(turn.id)
        puppet.say("Welcome!")
        await talk.said("Welcome!")
        await talk.send("Red, please", mode="steer")
        puppet.steer()
        puppet.say("Red it is.")
        puppet.end()
        assert (await talk.ended(turn.id)).status == "completed"
        assert puppet.steered == ["Red, please"]
        assert [message.parts for message in puppet.turn.history] != []
        assert await talk.texts() == ["Welcome!", "Red, please", "Red it is."]


@pytest.mark.promise("T-05", "R-02")
async def test_it_survives_its_process_also_before_it_was_claimed(sqlite: str, puppets: Puppets) -> None:
    """Accepted with its session: whoever sweeps past next takes it up."""
    spec = AgentSpec(id="host", name="Host", run=echo, welcome=puppets.answer)
    async with opened(sqlite) as store:
        async with working(store, spec) as first:
            first.dispatcher.accepting = False
            talk = await Talk.begin(first.engine)
            (turn,) = (await talk.state()).turns
            assert turn.status == "queued"
        async with working(store, spec) as second:
            await second.dispatcher.sweep()
            talk = talk.on(second.engine)
            puppet = await puppets.of(turn.id)
            puppet.say("Welcome!")
            puppet.end()
            assert (await talk.ended(turn.id)).status == "completed"
            assert await talk.texts() == ["Welcome!"]


def test_a_welcome_is_a_text_or_a_generator() -> None:
    async def returns(turn: Turn) -> str:
        return "Welcome"

    with pytest.raises(Misuse, match="welcome of the agent 'host'"):
        Registry(AgentSpec(id="host", name="Host", run=echo, welcome=returns))  # type: ignore[arg-type]
