"""Long sessions: what was said first gives way to a summary, in the background, and the gauge shows how full it is."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest

from legato import Legato, Turn
from legato.agents.registry import AgentSpec, saying
from legato.core.errors import ContextOverflow, SummaryNotFound
from legato.core.events import UsageEvent, decode_lines
from legato.core.fold import Fold
from legato.core.model import ContextInfo, Gauge, State, Summary, TextPart
from legato.core.model import Turn as TurnState
from legato.core.summary import OPEN, SYSTEM
from legato.engine.owned import Owner
from legato.engine.settings import EngineSettings
from legato.engine.summaries import is_time
from legato.providers.demo import Call, DemoModel
from legato.providers.port import Delta, ModelRequest, StopDelta

pytestmark = pytest.mark.anyio

WINDOW, RESERVE = 1_000, 100
WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa " * 4


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


class Model:
    """A model that answers, and another one that summarises as the test says."""

    def __init__(self) -> None:
        self.asked: list[ModelRequest] = []
        self.told: list[str] = []
        self.was_told = anyio.Event()
        self.cuts_off = False
        self.summary: str | Exception = "They counted in Greek."

    def script(self, request: ModelRequest) -> Iterable[str | Call]:
        if request.messages[0].content == SYSTEM:
            self.told.append(request.messages[1].content)
            self.was_told.set()
            if isinstance(self.summary, Exception):
                raise self.summary
            yield self.summary and f"{self.summary} ({len(self.told)})"
        else:
            self.asked.append(request)
            yield "omega"


class Provider(DemoModel):
    """Stops before the end where its model is to be cut off."""

    def __init__(self, model: Model) -> None:
        super().__init__(model.script, sleep=instantly)
        self._model = model

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        async with aclosing(super().stream(request)) as deltas:
            async for delta in deltas:
                stops = isinstance(delta, StopDelta) and self._model.cuts_off and request.model == "small"
                yield StopDelta("length") if stops else delta


async def instantly(seconds: float) -> None:
    await asyncio.sleep(0)


@asynccontextmanager
async def talking(url: str, model: Model, **fields: Any) -> AsyncIterator[tuple[Legato, Owner]]:
    chat = Legato(url, settings=EngineSettings(chores_s=0.1), environment={})
    chat.provider(Provider(model), context_window=WINDOW)
    usual = {
        "model": "demo:large",
        "side_model": "demo:small",
        "reserve": RESERVE,
        "titles": False,
        "summarise_at": 0.6,
    }

    @chat.agent("agent", **(usual | fields))
    async def agent(turn: Turn) -> AsyncIterator[str]:
        async for text in turn.stream():
            yield text

    async with chat.lifespan():
        with anyio.fail_after(60):
            yield chat, chat.of("ann")


async def answered(me: Owner, session_id: str, text: str) -> TurnState:
    turn, _ = await me.answered(await me.send(session_id, text))
    return turn


async def state_of(me: Owner, session_id: str) -> State:
    return (await me.session(session_id, 500))[0]


async def summarised(chat: Legato, session_id: str, upto: int) -> Summary:
    """As soon as so many messages at least are summarised."""
    while True:
        try:
            found = await chat.of("ann").summary(session_id)
            if found.messages >= upto:
                return found
        except SummaryNotFound:
            pass
        await asyncio.sleep(0.01)


@pytest.mark.promise("C-03")
async def test_before_something_falls_out_a_summary_takes_its_place(url: str) -> None:
    model = Model()
    async with talking(url, model) as (chat, me):
        session = await me.create_session()
        for n in range(5):
            turn = await answered(me, session.id, f"number {n}: {WORDS}")
            assert turn.context is not None
            assert (turn.context.dropped, turn.context.window) == (0, WINDOW)
            if turn.context.tokens > 0.55 * (WINDOW - RESERVE):
                break
        assert (await summarised(chat, session.id, 2)).text == "They counted in Greek. (1)"
        assert '"by":"user","text":"number 0: ' in model.told[0]

        turn = await answered(me, session.id, "And now?")
        prompt = model.asked[-1].messages
        assert turn.context is not None
        assert prompt[0].role == "user", "nothing that was said is the system's word"
        assert prompt[0].content.startswith(OPEN)
        assert "They counted in Greek." in prompt[0].content
        assert "number 0" not in prompt[0].content
        assert turn.context.summarised >= 2
        assert turn.context.dropped == 0
        state = await state_of(me, session.id)
        assert turn.context.messages + turn.context.summarised == len(state.messages) - 1
        assert isinstance(state.messages[0].parts[0], TextPart), "the originals stay"
        assert state.messages[0].parts[0].text.startswith("number 0")


@pytest.mark.promise("C-03")
async def test_a_second_summary_takes_over_what_the_first_one_says(url: str) -> None:
    model = Model()
    async with talking(url, model) as (chat, me):
        session = await me.create_session()
        known, n = 0, 0
        while len(model.told) < 3:
            turn = await answered(me, session.id, f"number {n}: {WORDS}")
            assert turn.context is not None
            assert turn.context.dropped == 0
            if turn.context.tokens >= 0.6 * (WINDOW - RESERVE):
                known = (await summarised(chat, session.id, known + 1)).messages
            n += 1
        assert model.told[-1].startswith('{"summary":"They counted in Greek.')
        assert '"number 0' not in model.told[-1]


@pytest.mark.promise("C-03")
@pytest.mark.parametrize("trouble", ["fails", "nonsense", "nothing"])
async def test_without_a_summary_turns_go_on_as_before(sqlite: str, trouble: str) -> None:
    model = Model()
    said: dict[str, str | Exception] = {"fails": RuntimeError("no"), "nonsense": "x" * 9_000, "nothing": ""}
    model.summary = said[trouble]
    async with talking(sqlite, model) as (chat, me):
        session = await me.create_session()
        turns = [await answered(me, session.id, f"number {n}: {WORDS}") for n in range(8)]
        await model.was_told.wait()
        assert {turn.status for turn in turns} == {"completed"}
        assert turns[-1].context is not None
        assert turns[-1].context.dropped > 0
        with pytest.raises(SummaryNotFound):
            await chat.engine.summary("ann", session.id)


@pytest.mark.promise("C-03")
async def test_who_does_not_ask_for_summaries_gets_none(sqlite: str) -> None:
    model = Model()
    async with talking(sqlite, model, summarise_at=None) as (_, me):
        session = await me.create_session()
        turns = [await answered(me, session.id, f"number {n}: {WORDS}") for n in range(8)]
        assert turns[-1].context is not None
        assert turns[-1].context.dropped > 0
    assert model.told == []


@pytest.mark.promise("C-03")
async def test_more_messages_than_the_agent_looks_at_are_summarised(sqlite: str) -> None:
    model = Model()
    async with talking(sqlite, model, tail=6) as (chat, me):
        session = await me.create_session()
        for n in range(6):
            await answered(me, session.id, f"{n}")
        await summarised(chat, session.id, 6)
        turn = await answered(me, session.id, "And now?")
        assert turn.context is not None
        assert turn.context.summarised + turn.context.messages + turn.context.dropped == 13


@pytest.mark.promise("C-03")
async def test_what_is_pinned_is_sent_however_long_ago_it_was_said(url: str) -> None:
    model = Model()
    async with talking(url, model, summarise_at=None, tail=4) as (_, me):
        session = await me.create_session()
        first = await answered(me, session.id, "Answer in Greek.")
        for n in range(6):
            await answered(me, session.id, f"{n}")
        assert "Answer in Greek." not in "".join(each.content for each in model.asked[-1].messages)
        await me.pin(session.id, first.message_id)
        turn = await answered(me, session.id, "And now?")
        assert model.asked[-1].messages[0].content.startswith("Answer in Greek.")
        assert turn.context is not None
        assert turn.context.messages == 4


@pytest.mark.promise("C-03")
async def test_pins_leave_half_of_the_room_to_others(sqlite: str) -> None:
    model = Model()
    async with talking(sqlite, model, summarise_at=None) as (_, me):
        session = await me.create_session()
        turns = [await answered(me, session.id, f"number {n}: {WORDS}") for n in range(8)]
        pinned = 0
        with pytest.raises(ContextOverflow) as raised:  # noqa: PT012 - which one it is depends on the counting
            for turn in turns:
                await me.pin(session.id, turn.message_id)
                pinned += 1
        assert raised.value.details["available"] == (WINDOW - RESERVE) // 2
        assert 2 <= pinned < 8
        assert (await answered(me, session.id, "And now?")).status == "completed"


@pytest.mark.promise("C-03")
async def test_a_long_system_prompt_does_not_make_each_turn_ask_for_a_summary(sqlite: str) -> None:
    """What no summary makes smaller does not count; and no call is made for a turn or two."""
    model = Model()
    async with talking(sqlite, model, system="Rules. " * 100, summarise_at=0.4) as (chat, me):
        session = await me.create_session()
        for n in range(8):
            await answered(me, session.id, f"{n}")
        await chat.engine._chores.step()
        assert len(model.told) <= 2


@pytest.mark.promise("C-03")
async def test_a_summary_that_was_cut_off_is_none(sqlite: str) -> None:
    model = Model()
    model.cuts_off = True
    async with talking(sqlite, model) as (_, me):
        session = await me.create_session()
        for n in range(6):
            await answered(me, session.id, f"number {n}: {WORDS}")
        await model.was_told.wait()
        with pytest.raises(SummaryNotFound):
            await me.summary(session.id)


@pytest.mark.promise("C-03")
async def test_a_pinned_answer_counts_with_its_question(sqlite: str) -> None:
    model = Model()
    async with talking(sqlite, model, summarise_at=None) as (_, me):
        session = await me.create_session()
        turn = await answered(me, session.id, WORDS * 5)
        with pytest.raises(ContextOverflow):
            await me.pin(session.id, turn.answer_id or "")


@pytest.mark.promise("C-06")
async def test_the_gauge_is_told_live_and_kept(url: str) -> None:
    async with talking(url, Model()) as (_, me):
        session = await me.create_session()
        assert (await state_of(me, session.id)).gauge is None
        gauges = []
        for text in ("Hello", WORDS):
            sent = await me.send(session.id, text)
            async for event in me.follow(sent):
                if isinstance(event, UsageEvent):
                    assert event.gauge == Gauge(event.prompt_tokens + event.completion_tokens, WINDOW)
                    gauges.append(event.gauge)
            assert (await state_of(me, session.id)).gauge == gauges[-1]
        assert gauges[0].tokens < gauges[1].tokens
        await me.clear(session.id)
        assert (await state_of(me, session.id)).gauge is None


@pytest.mark.promise("C-03")
async def test_a_question_that_is_answered_again_is_not_told_away(sqlite: str) -> None:
    """Its answers have turns of their own: a summary ends with one, never with the question."""
    model = Model()
    async with talking(sqlite, model, tail=2) as (chat, me):
        session = await me.create_session()
        await answered(me, session.id, "zero")
        first = await answered(me, session.id, "first")
        second = await answered(me, session.id, "second")
        turn, _ = await me.answered(await me.retry(session.id, second.id))
        found = await summarised(chat, session.id, 4)
        assert found.message_id == first.answer_id
        again, _ = await me.answered(await me.retry(session.id, turn.id))
        assert again.status == "completed"
        assert model.asked[-1].messages[-1].content.endswith("second")


@pytest.mark.promise("C-06", "S-13")
async def test_an_imported_session_shows_what_its_readers_are_told(url: str) -> None:
    async with talking(url, Model()) as (chat, me):
        session = await me.create_session()
        await answered(me, session.id, "Hello")
        fork = await chat.engine.forking.fork("ann", session.id)
        state, cursor = await chat.engine.snapshot("ann", fork.id)
        rows = await chat.engine.rows(fork.id, 0, 0)
        fold = Fold().apply_all(event for row in rows for _, event in decode_lines(row.first_seq, row.payload))
        assert fold.state() == state
        assert cursor.seq == rows[-1].last_seq


@pytest.mark.promise("C-03")
@pytest.mark.parametrize(
    ("sent", "answered_tokens", "time"),
    [
        (ContextInfo(3, 400, 0, 900), 0, False),
        (ContextInfo(3, 400, 0, 900), 200, True),
        (ContextInfo(3, 400, 1, 900), 0, True),
        (ContextInfo(36, 10, 0, 900), 0, True),
        (None, 10_000, False),
    ],
)
def test_when_it_is_time(sent: ContextInfo | None, answered_tokens: int, time: bool) -> None:
    spec = AgentSpec(id="a", name="A", run=saying("x"), summarise_at=0.6)
    assert is_time(spec, sent, answered_tokens) == time
    assert not is_time(msgspec.structs.replace(spec, summarise_at=None), sent, answered_tokens)
