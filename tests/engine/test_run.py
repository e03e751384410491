"""How a running turn ends, by what stopped it (promise R-05), and what its readers are told on the way."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

from legato import Legato, Turn
from legato.agents.builtin import assistant
from legato.agents.config import Config, ProviderEntry
from legato.core.errors import MAX_ERROR_BYTES, ProviderRefused
from legato.core.events import (
    Done,
    ErrorEvent,
    Reset,
    StatusUpdate,
    Token,
    UsageEvent,
    Warning,
)
from legato.core.fold import Fold
from legato.core.model import ErrorInfo, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from legato.providers.catalog import ModelEntry
from tests.engine.talking import Talk, only, text_of
from tests.http.puppets import Puppets
from tests.support.brief import BRIEF
from tests.support.upstream import Upstream

pytestmark = pytest.mark.anyio

SECRET = "what-the-customer-said"
Answer = Callable[[Turn], AsyncIterator[str]]
Start = Callable[..., Any]


@pytest.fixture
async def start(sqlite: str) -> AsyncIterator[Start]:
    """Starts a Legato with one agent, and a session with it."""
    async with anyio.create_task_group() as group:
        stopping = anyio.Event()

        async def serve(chat: Legato, *, task_status: anyio.abc.TaskStatus[None]) -> None:
            async with chat.lifespan():
                task_status.started()
                await stopping.wait()

        async def start(answer: Answer, **fields: Any) -> Talk:
            chat = Legato(sqlite, settings=BRIEF, environment={})
            chat.agent("agent", **fields)(answer)
            await group.start(serve, chat)
            return await Talk.begin(chat.engine)

        yield start
        stopping.set()


@pytest.fixture
async def modelled(sqlite: str, upstream: Upstream) -> AsyncIterator[Talk]:
    """A session with an agent that asks a model behind real HTTP."""
    models = (ModelEntry(id="openai:m", context_window=100_000, cost_per_1m_input=1.0, cost_per_1m_output=2.0),)
    chat = Legato(sqlite, settings=BRIEF, config=Config(models=models), environment={"OPENAI_BASE_URL": upstream.url})
    chat.agent("model", model="openai:m", system="Be kind.")(assistant)
    async with chat.lifespan():
        yield await Talk.begin(chat.engine)


@pytest.mark.promise("R-05")
async def test_an_agent_that_is_done_completes_its_turn(start: Start) -> None:
    async def answer(turn: Turn) -> AsyncIterator[str]:
        yield "You said: "
        yield ""
        yield turn.text

    talk = await start(answer)
    turn = await talk.ask("Bonjour")
    assert (turn.status, turn.reason, turn.error) == ("completed", "stop", None)
    assert await talk.texts() == ["Bonjour", "You said: Bonjour"]
    assert [message.status for message in (await talk.state()).messages] == ["completed", "completed"]


async def test_an_agent_sees_its_session_message_history_and_locale(start: Start) -> None:
    seen: list[Any] = []

    async def answer(turn: Turn) -> AsyncIterator[str]:
        seen.append((turn.session.id, turn.message.id, [text_of(m) for m in turn.history], turn.locale, turn.id))
        yield "So."

    talk = await start(answer)
    first = await talk.ask("One")
    second = await talk.ask("Two", locale="sv")
    assert seen == [
        (talk.id, first.message_id, ["One"], "en", first.id),
        (talk.id, second.message_id, ["One", "So.", "Two"], "sv", second.id),
    ]


@pytest.mark.promise("R-12", "X-05")
async def test_an_agents_error_is_told_without_its_message(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    async def answer(turn: Turn) -> AsyncIterator[str]:
        yield "Half an "
        raise ValueError(SECRET)

    talk = await start(answer)
    turn = await talk.ask()
    assert (turn.status, turn.reason) == ("failed", "error")
    assert turn.error == ErrorInfo("agent_error", "The agent raised an error; the server's log has it.")
    assert (await talk.answer(turn.id)).parts == (TextPart("Half an "),)
    assert [e.code for e in only(ErrorEvent, await talk.told())] == ["agent_error"]
    assert "ValueError at" in caplog.text
    assert "test_run.py" in caplog.text
    assert SECRET not in caplog.text
    assert SECRET not in repr(await talk.told())


async def test_an_agent_that_yields_something_else_than_text_fails(start: Start) -> None:
    async def answer(turn: Turn) -> AsyncIterator[Any]:
        yield b"bytes"

    turn = await (await start(answer)).ask()
    assert turn.error is not None
    assert (turn.status, turn.error.code) == ("failed", "agent_error")


@pytest.mark.promise("R-12")
@pytest.mark.parametrize("pieces", [(), ("",), None])
async def test_an_answer_without_words_is_an_error(start: Start, pieces: tuple[str, ...] | None) -> None:
    async def answer(turn: Turn) -> AsyncIterator[str]:
        if pieces is None:
            await turn.reasoning("Only thoughts.")
        for piece in pieces or ():
            yield piece

    talk = await start(answer)
    turn = await talk.ask()
    assert turn.error is not None
    assert (turn.status, turn.error.code) == ("failed", "empty_answer")
    assert (await talk.answer(turn.id)).error == turn.error


@pytest.mark.promise("R-12")
async def test_a_turn_may_take_so_long_and_no_longer(start: Start) -> None:
    async def answer(turn: Turn) -> AsyncIterator[str]:
        yield "And then "
        await anyio.sleep_forever()

    talk = await start(answer, max_turn_s=0.2)
    turn = await talk.ask()
    assert (turn.status, turn.error) == ("failed", ErrorInfo("turn_timeout", "The turn took longer than 0.2 s."))
    assert await talk.texts() == ["Hello", "And then "]


@pytest.mark.promise("R-05")
@pytest.mark.parametrize("after", ["ends", "raises", "goes on"])
async def test_an_agent_cannot_talk_its_way_out_of_a_time_out(start: Start, after: str) -> None:
    async def answer(turn: Turn) -> AsyncIterator[str]:
        yield "Before. "
        try:
            await anyio.sleep_forever()
        except BaseException as error:
            if after == "raises":
                raise RuntimeError("I was doing something") from error
        if after == "goes on":
            yield "After."

    talk = await start(answer, max_turn_s=0.2)
    turn = await talk.ask()
    assert turn.error is not None
    assert (turn.status, turn.error.code) == ("failed", "turn_timeout")


@pytest.mark.promise("R-05")
async def test_shutdown_keeps_what_was_said_and_ends_it_as_incomplete(sqlite: str, puppets: Puppets) -> None:
    chat = Legato(sqlite, settings=BRIEF, environment={})
    chat.agent("puppet")(puppets.answer)
    async with chat.lifespan():
        talk = await Talk.begin(chat.engine)
        said, silent = await talk.send(), await talk.send("And?")
        puppet = await puppets.of(said.id)
        puppet.say("Once upon ")
        await talk.said("Once upon ")
    assert puppet.gone.is_set()
    async with chat.lifespan():
        talk = talk.on(chat.engine)
        turn = await talk.ended(said.id)
        assert (turn.status, turn.reason, turn.error) == ("incomplete", "shutdown", None)
        assert (await talk.state()).messages[1].status == "incomplete"
        assert (await talk.texts())[:3] == ["Hello", "Once upon ", "And?"]
        (await puppets.of(silent.id)).say("Yes.")  # what waited is taken up by the next process
        puppets_end = await puppets.of(silent.id)
        puppets_end.end()
        assert (await talk.ended(silent.id)).status == "completed"


@pytest.mark.promise("R-01", "X-08")
async def test_an_answer_that_had_not_begun_when_its_process_stopped_is_begun_by_the_next(
    sqlite: str, puppets: Puppets
) -> None:
    chat = Legato(sqlite, settings=BRIEF, environment={})
    chat.agent("puppet")(puppets.answer)
    async with chat.lifespan():
        talk = await Talk.begin(chat.engine)
        turn = await talk.send()
        await puppets.of(turn.id)
    async with chat.lifespan():
        puppet = await puppets.of(turn.id, 2)
        puppet.say("Here I am.")
        puppet.end()
        ended = await talk.on(chat.engine).ended(turn.id)
        assert (ended.status, ended.attempt) == ("completed", 2)
        assert await talk.on(chat.engine).texts() == ["Hello", "Here I am."]


@pytest.mark.promise("R-05")
@pytest.mark.parametrize("ignores", ["the cancellation", "being closed"])
async def test_an_agent_that_will_not_stop_is_stopped(sqlite: str, ignores: str) -> None:
    began, tried = anyio.Event(), anyio.Event()

    async def answer(turn: Turn) -> AsyncIterator[str]:
        try:
            yield "Word"
            began.set()
            await anyio.sleep_forever()
        except BaseException:
            tried.set()
        if ignores == "being closed":
            yield "I am not done"
            yield "yet"

    chat = Legato(sqlite, settings=BRIEF, environment={})
    chat.agent("agent")(answer)
    async with chat.lifespan():
        talk = await Talk.begin(chat.engine)
        turn = await talk.send()
        await began.wait()
    assert tried.is_set()
    async with chat.lifespan():
        assert (await talk.on(chat.engine).ended(turn.id)).reason == "shutdown"


async def test_a_turn_that_is_no_longer_ours_gets_no_ending_from_us(
    chat: Legato, talk: Talk, puppets: Puppets, caplog: pytest.LogCaptureFixture
) -> None:
    turn = await talk.send()
    puppet = await puppets.of(turn.id)
    await talk.running(turn.id)
    puppet.say("Before. ")
    await talk.said("Before. ")
    await chat.engine.store.write(_raise_epoch, talk.id)  # somebody else owns the session now
    puppet.say("After.")
    await puppet.gone.wait()
    assert (await talk.turn(turn.id)).status == "in_progress"
    assert await talk.texts() == ["Hello", "Before. "]
    assert "failed" not in caplog.text


def _raise_epoch(conn: Any, session_id: str) -> None:
    conn.exec_driver_sql(f"UPDATE sessions SET epoch = epoch + 1 WHERE id = '{session_id}'")  # noqa: S608


@pytest.mark.promise("R-13")
@pytest.mark.parametrize(
    ("locale", "begins"),
    [
        ("sv", "Assistenten är avstängd"),
        ("sv-SE", "Assistenten är avstängd"),
        ("ru_RU", "Ассистент сейчас отключён"),
        ("en", "This assistant is switched off"),
        ("tlh", "This assistant is switched off"),
        (None, "This assistant is switched off"),
    ],
)
async def test_an_agent_that_is_switched_off_is_one_done_in_the_readers_language(
    start: Start, locale: str | None, begins: str
) -> None:
    async def answer(turn: Turn) -> AsyncIterator[str]:
        yield "Never."

    talk = await start(answer, enabled=False)
    turn = await talk.ask(locale=locale)
    told = await talk.followed(turn.id)
    (done,) = only(Done, told)
    assert (done.status, done.reason) == ("failed", "agent_unavailable")
    assert done.text is not None
    assert done.text.startswith(begins)
    assert only(Token, told) + only(UsageEvent, told) + only(ErrorEvent, told) == []
    assert (turn.text, turn.usage) == (done.text, None)
    assert (await talk.answer(turn.id)).error == ErrorInfo("agent_unavailable", done.text)


@pytest.mark.promise("R-13")
async def test_an_agent_without_its_key_is_as_good_as_switched_off(sqlite: str) -> None:
    config = Config(providers={"mine": ProviderEntry(base_url="http://127.0.0.1:1/v1", api_key_env="MY_KEY")})
    chat = Legato(sqlite, settings=BRIEF, config=config, environment={})
    chat.agent("model", model="mine:m")(assistant)
    async with chat.lifespan():
        turn = await (await Talk.begin(chat.engine)).ask()
    assert (turn.status, turn.reason) == ("failed", "agent_unavailable")


@pytest.mark.promise("R-09", "E-04")
async def test_what_an_agent_tells_reaches_readers_and_history(start: Start) -> None:
    async def answer(turn: Turn) -> AsyncIterator[str]:
        await turn.status("planning", "looking \ud800around")
        await turn.reasoning("Let me ")
        await turn.reasoning("think.")
        call_id = await turn.tool_call("search\x00", '{"q": "wine"}')
        await turn.status("executing")
        await turn.tool_result(call_id, "nothing", is_error=True)
        await turn.warn("careful", "x" * 5000)
        yield "There is "
        yield "none."

    talk = await start(answer)
    turn = await talk.ask()
    told = await talk.followed(turn.id)
    assert [(e.phase, e.detail) for e in only(StatusUpdate, told)] == [
        ("planning", "looking \ufffdaround"),
        ("executing", None),
    ]
    (warning,) = only(Warning, told)
    assert (warning.code, len(warning.message.encode())) == ("careful", MAX_ERROR_BYTES)
    reasoning, call, result, text = (await talk.answer(turn.id)).parts
    assert (reasoning, text) == (ReasoningPart("Let me think."), TextPart("There is none."))
    assert isinstance(call, ToolCallPart)
    assert (call.name, call.arguments) == ("search\ufffd", '{"q": "wine"}')
    assert result == ToolResultPart(call.call_id, "nothing", is_error=True)
    assert Fold().apply_all(event for _, event in told).state() == await talk.state()


@pytest.mark.promise("R-09")
async def test_the_phase_of_a_running_turn_is_seen_and_goes_with_its_end(talk: Talk, puppets: Puppets) -> None:
    turn = await talk.send()
    puppet = await puppets.of(turn.id)
    puppet.phase("executing", "cooking")
    await talk.until(lambda event: isinstance(event, StatusUpdate))
    running = await talk.turn(turn.id)
    assert (running.status, running.phase, running.detail) == ("in_progress", "executing", "cooking")
    puppet.say("Done.")
    puppet.end()
    ended = await talk.ended(turn.id)
    assert (ended.phase, ended.detail) == (None, None)


async def test_a_reset_takes_back_what_was_said(start: Start) -> None:
    async def answer(turn: Turn) -> AsyncIterator[str]:
        await turn.reasoning("Hm.")
        yield "Wrong."
        await turn.reset()
        yield "Right."

    talk = await start(answer)
    turn = await talk.ask()
    told = await talk.followed(turn.id)
    assert [event.part for event in only(Reset, told)] == [0]
    assert (await talk.answer(turn.id)).parts == (TextPart("Right."),)
    assert Fold().apply_all(event for _, event in told).state() == await talk.state()


async def test_a_reset_with_nothing_after_it_leaves_an_empty_answer(start: Start) -> None:
    async def answer(turn: Turn) -> AsyncIterator[str]:
        yield "Wrong."
        await turn.reset()

    turn = await (await start(answer)).ask()
    assert turn.error is not None
    assert turn.error.code == "empty_answer"


@pytest.mark.promise("R-11")
async def test_usage_without_a_model_is_an_estimate_of_what_was_said(start: Start) -> None:
    async def answer(turn: Turn) -> AsyncIterator[str]:
        await turn.tool_call("search", '{"q": "a long question about many things"}')
        yield "word " * 100

    talk = await start(answer)
    turn = await talk.ask()
    assert turn.usage is not None
    assert (turn.usage.estimated, turn.usage.prompt_tokens, turn.usage.cost_usd) == (True, 0, None)
    assert turn.usage.completion_tokens > 100
    assert [event.usage() for event in only(UsageEvent, await talk.followed(turn.id))] == [turn.usage]


@pytest.mark.promise("R-11")
async def test_usage_is_the_providers_word_and_has_its_price(modelled: Talk) -> None:
    turn = await modelled.ask("count 7")
    assert turn.usage is not None
    assert (turn.usage.prompt_tokens, turn.usage.completion_tokens, turn.usage.estimated) == (4, 7, False)
    assert turn.usage.cost_usd == pytest.approx((4 * 1.0 + 7 * 2.0) / 1e6)
    assert turn.usage.cost_usd is not None
    assert turn.context is not None
    assert (turn.context.messages, turn.context.dropped, turn.context.budget) == (1, 0, 100_000 - 2048)
    second = await modelled.ask("count 3")
    assert second.usage is not None
    assert second.usage.cost_usd is not None
    sums = (await modelled.engine.stats("ann", modelled.id)).usage
    assert sums.completion_tokens == 10
    assert sums.cost_usd == pytest.approx(turn.usage.cost_usd + second.usage.cost_usd)


@pytest.mark.promise("R-11")
async def test_usage_that_the_provider_keeps_to_itself_is_estimated_and_marked(modelled: Talk) -> None:
    turn = await modelled.ask("nousage")
    assert turn.usage is not None
    assert turn.usage.estimated
    assert min(turn.usage.prompt_tokens, turn.usage.completion_tokens, turn.usage.cost_usd or 0) > 0


@pytest.mark.promise("R-11")
async def test_usage_of_several_calls_is_their_sum(sqlite: str, upstream: Upstream) -> None:
    async def answer(turn: Turn) -> AsyncIterator[str]:
        for _ in range(2):
            async for text in turn.stream():
                yield text
        async for text in turn.stream(model_id="openai:priceless", system="Be brief."):
            yield text

    models = (ModelEntry(id="openai:m", cost_per_1m_input=1.0, cost_per_1m_output=2.0),)
    chat = Legato(sqlite, settings=BRIEF, config=Config(models=models), environment={"OPENAI_BASE_URL": upstream.url})
    chat.agent("twice", model="openai:m")(answer)
    async with chat.lifespan():
        turn = await (await Talk.begin(chat.engine)).ask("count 5")
    assert turn.usage is not None
    assert (turn.usage.prompt_tokens, turn.usage.completion_tokens, turn.usage.total_tokens) == (8, 15, 23)
    assert turn.usage.cost_usd is None, "one of the calls has no price, so the sum has none"
    assert [exchange.body["model"] for exchange in upstream.exchanges] == ["m", "m", "priceless"]


async def test_reasoning_of_a_model_is_shown_and_not_sent_back(modelled: Talk, upstream: Upstream) -> None:
    turn = await modelled.ask("reason")
    assert (await modelled.answer(turn.id)).parts == (ReasoningPart("Let me think. "), TextPart("1 2 3 "))
    await modelled.ask("count 1")
    assert [m["content"] for m in upstream.exchanges[1].body["messages"]] == ["Be kind.", "reason", "1 2 3 ", "count 1"]


@pytest.mark.promise("R-05")
async def test_an_answer_cut_by_its_length_is_incomplete(modelled: Talk) -> None:
    turn = await modelled.ask("cutoff")
    assert (turn.status, turn.reason, turn.error) == ("incomplete", "length", None)
    assert (await modelled.answer(turn.id)).status == "incomplete"


@pytest.mark.promise("R-12", "C-05")
@pytest.mark.parametrize(
    ("script", "code", "text"),
    [
        ("status 401", "provider_refused", ""),
        ("malformed", "provider_nonsense", "1 2 "),
        ("error", "provider_error", "1 2 "),
        ("cut after 2", "provider_cut", "1 2 "),
        ("reset after 2", "provider_cut", "1 2 "),
        ("html", "provider_nonsense", ""),
        ("empty", "empty_answer", ""),
        ("tool", "empty_answer", ""),
    ],
)
async def test_a_provider_that_fails_ends_the_turn_typed_and_bricks_nothing(
    modelled: Talk, upstream: Upstream, script: str, code: str, text: str
) -> None:
    turn = await modelled.ask(script)
    assert turn.error is not None
    assert (turn.status, turn.reason, turn.error.code) == ("failed", "error", code)
    assert text_of(await modelled.answer(turn.id)) == text
    assert len(turn.error.message.encode()) <= MAX_ERROR_BYTES
    assert turn.usage is not None
    assert turn.usage.estimated is (code != "empty_answer")
    assert (await modelled.ask("count 3")).status == "completed"
    assert upstream.exchanges[-1].outcome == "completed", "the strict provider refused the history"


@pytest.mark.promise("R-12")
async def test_an_error_carries_4_kb_at_most(start: Start) -> None:
    async def answer(turn: Turn) -> AsyncIterator[str]:
        if turn.text:
            raise ProviderRefused("ж" * 10_000)
        yield ""

    talk = await start(answer)
    turn = await talk.ask()
    assert turn.error is not None
    assert turn.error.code == "provider_refused"
    assert 4000 < len(turn.error.message.encode()) <= MAX_ERROR_BYTES
    assert [event.message for event in only(ErrorEvent, await talk.told())] == [turn.error.message]


@pytest.mark.promise("R-12")
async def test_a_history_that_has_grown_beyond_the_model_is_a_typed_error(sqlite: str, upstream: Upstream) -> None:
    async def answer(turn: Turn) -> AsyncIterator[str]:
        async for text in turn.stream(system="word " * 9000):
            yield text

    chat = Legato(sqlite, settings=BRIEF, environment={"OPENAI_BASE_URL": upstream.url})
    chat.agent("wordy", model="openai:m")(answer)
    async with chat.lifespan():
        turn = await (await Talk.begin(chat.engine)).ask()
    assert turn.error is not None
    assert (turn.status, turn.error.code) == ("failed", "context_overflow")
    assert upstream.exchanges == []


@pytest.mark.parametrize(("model", "code"), [("nobody:m", "model_not_found"), (None, "agent_error")])
async def test_an_agent_that_asks_for_a_model_nobody_has(start: Start, model: str | None, code: str) -> None:
    async def answer(turn: Turn) -> AsyncIterator[str]:
        async for text in turn.stream(model_id=model):
            yield text

    turn = await (await start(answer)).ask()
    assert turn.error is not None
    assert (turn.status, turn.error.code) == ("failed", code)
