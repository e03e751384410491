"""The answer of a turn as it grows, from events alone and over the wire."""

from collections.abc import AsyncIterator

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.client import AsyncClient, Piece, Sent
from legato.client.answer import GrowingAnswer
from legato.core.errors import TurnNotFound
from legato.core.events import (
    Event,
    MessageEvent,
    Reset,
    Snapshot,
    Token,
    ToolCall,
    ToolResult,
    TurnEvent,
)
from legato.core.fold import Fold
from legato.core.model import ReasoningPart, TextPart, ToolCallPart
from tests.support import story
from tests.support.story import ANSWER, EVENTS_PATH, SESSION, TURN, TURN_PATH, TURNS_PATH, cursor, frames
from tests.support.wire import Naps, Request, Wire, json_reply, problem, stream

# Events about the answer, in any order: also such as no honest server sends.
_texts = st.text(st.sampled_from("ab日👩\u200d"), max_size=3)
_parts = st.integers(0, 3)
_part = st.one_of(_texts.map(TextPart), _texts.map(ReasoningPart), st.just(ToolCallPart("call_1", "weather", "{}")))
_message = st.lists(_part, max_size=3).map(lambda parts: story.answer(parts=tuple(parts)))
_events: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        Token,
        st.just(TURN),
        st.sampled_from([ANSWER, ANSWER, story.QUESTION]),
        _parts,
        st.sampled_from(["text", "reasoning", "tool_arguments"]),
        _texts,
    ),
    st.builds(Reset, st.just(TURN), st.just(ANSWER), _parts),
    st.builds(ToolCall, st.just(TURN), st.just(ANSWER), _parts, st.just("c"), st.just("n"), _texts),
    st.builds(ToolResult, st.just(TURN), st.just(ANSWER), _parts, st.just("c"), _texts),
    _message.map(lambda message: Snapshot(message=message)),
    _texts.map(lambda text: Snapshot(state=story.state(text=text))),
    _message.map(lambda message: MessageEvent("changed", ANSWER, message)),
    st.just(MessageEvent("removed", ANSWER)),
    st.sampled_from(story.opening()),
)


@given(st.lists(_events, max_size=30))
def test_pieces_always_make_the_text_of_the_message(events: list[Event]) -> None:
    growing, fold, shown = GrowingAnswer(story.turn()), Fold(), ""
    for event in [*story.opening(), *events]:
        fold.apply(event)
        if (piece := growing.apply(event)) is not None:
            assert piece.at <= len(shown)
            assert piece.text or piece.at < len(shown), "a piece changes something"
            shown = shown[: piece.at] + piece.text
        message = fold.message(growing.turn.answer_id or "")
        parts = message.parts if message else ()
        assert shown == "".join(part.text for part in parts if isinstance(part, TextPart))
        assert shown == growing.text


def test_a_text_that_only_grows_is_only_appended_to() -> None:
    growing, length = GrowingAnswer(story.turn()), 0
    for event in story.whole():
        if (piece := growing.apply(event)) is not None:
            assert piece.at == length
            length += len(piece.text)
    assert growing.text == story.TEXT
    assert growing.finished
    assert growing.message is not None
    assert growing.message.usage is not None


def test_a_finished_turn_is_not_finished_before_its_done_was_read() -> None:
    """A repeated send answers with the turn as it is now, and a cursor that lies before all of it."""
    growing = GrowingAnswer(story.turn(status="completed", answer_id=ANSWER))
    assert not growing.finished


def test_a_state_brings_its_text_at_once() -> None:
    growing = GrowingAnswer(story.turn(), story.state(text="Bon"))
    assert growing.text == "Bon"
    assert not growing.finished
    assert growing.apply(story.token("jour")) == Piece("jour", 3)


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with Wire() as wire:
        wire.on("POST", TURNS_PATH, json_reply(story.sent(), 202))
        yield wire


@pytest.fixture
async def client(wire: Wire) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(wire.url, sleep=Naps(), random=lambda: 0.0, retry_for_s=5) as client:
        with anyio.fail_after(10):
            yield client


def rest(request: Request, events: list[Event] | None = None) -> bytes:
    return frames(events or story.whole(), story.seq_after(request.query["after"]))


@pytest.mark.promise("H-05")
@pytest.mark.anyio
async def test_an_answer_over_cuts(wire: Wire, client: AsyncClient) -> None:
    whole = frames(story.whole())
    third = len(whole) // 3
    wire.on(
        "GET",
        EVENTS_PATH,
        stream(whole[:third], "cut"),
        lambda request: stream(rest(request)[:third], "cut"),
        lambda request: stream(rest(request)),
    )
    answer = await client.answer(SESSION, "Hello")
    pieces = [piece.text async for piece in answer]
    assert "".join(pieces) == story.TEXT == answer.text
    assert answer.finished
    assert answer.turn.status == "completed"
    assert answer.message is not None
    assert answer.message.status == "completed"
    assert answer.cursor == cursor(len(story.whole()))


@pytest.mark.anyio
async def test_an_attempt_that_begins_anew_takes_its_text_back(wire: Wire, client: AsyncClient) -> None:
    events = [
        *story.opening(),
        story.token("First try"),
        Reset(TURN, ANSWER),
        story.token("Fifth"),
        story.token(" of May"),
        *story.ending(),
    ]
    wire.on("GET", EVENTS_PATH, lambda request: stream(rest(request, events)))
    answer = await client.answer(SESSION, "When?")
    pieces = [piece async for piece in answer]
    assert pieces == [Piece("First try", 0), Piece("", 0), Piece("Fifth", 0), Piece(" of May", 5)]
    assert answer.text == "Fifth of May"


@pytest.mark.anyio
async def test_a_compacted_answer_comes_as_a_snapshot(wire: Wire, client: AsyncClient) -> None:
    told = story.answer(parts=(TextPart("Bonjour"),))
    body = frames([*story.opening(), story.token("Bon")])
    late = frames([Snapshot(message=told), *story.ending()], first_seq=9)
    wire.on("GET", EVENTS_PATH, stream(body, "cut"), stream(late))
    answer = await client.answer(SESSION, "Hello")
    assert [piece async for piece in answer] == [Piece("Bon", 0), Piece("jour", 3)]


@pytest.mark.anyio
async def test_a_restored_database_replaces_the_answer(wire: Wire, client: AsyncClient) -> None:
    body = frames([*story.opening(), story.token("Bonjour")])
    restored = story.snapshot(3, story.state(text="Bon", status="incomplete", reason="worker_lost"), "beef")
    wire.on("GET", EVENTS_PATH, stream(body, "cut"), stream(restored))
    answer = await client.answer(SESSION, "Hello")
    assert [piece async for piece in answer] == [Piece("Bonjour", 0), Piece("", 3)]
    assert (answer.text, answer.turn.status, answer.turn.reason) == ("Bon", "incomplete", "worker_lost")


@pytest.mark.anyio
async def test_a_turn_that_a_restored_database_does_not_have_is_an_error(wire: Wire, client: AsyncClient) -> None:
    emptied = msgspec.structs.replace(story.state(), messages=(), turns=(), leaf_id=None)
    wire.on("GET", EVENTS_PATH, stream(frames(story.opening()), "cut"), stream(story.snapshot(1, emptied, "beef")))
    wire.on("GET", TURN_PATH, problem(404, "turn_not_found"))
    answer = await client.answer(SESSION, "Hello")
    with pytest.raises(TurnNotFound):
        await answer.result()


@pytest.mark.anyio
async def test_an_old_turn_that_a_snapshot_leaves_out_is_asked_for(wire: Wire, client: AsyncClient) -> None:
    """A state tells the last finished turn only; here another one was finished since."""
    told = msgspec.structs.replace(story.state(text="Bon"), turns=())
    wire.on("GET", EVENTS_PATH, stream(story.snapshot(1, told, "beef")))
    wire.on("GET", TURN_PATH, json_reply(story.turn(status="completed", answer_id=ANSWER)))
    answer = await client.answer(SESSION, "Hello")
    assert [piece async for piece in answer] == [Piece("Bon", 0)]
    assert answer.finished


@pytest.mark.anyio
async def test_an_iteration_may_be_broken_off_and_begun_again(wire: Wire, client: AsyncClient) -> None:
    wire.on("GET", EVENTS_PATH, lambda request: stream(rest(request)))
    answer = await client.answer(SESSION, "Hello")
    shown = ""
    while not answer.finished:
        async for piece in answer:
            shown += piece.text
            break
    assert shown == story.TEXT


@pytest.mark.anyio
async def test_a_repeated_send_brings_the_answer_again(wire: Wire, client: AsyncClient) -> None:
    finished = story.turn(status="completed", answer_id=ANSWER)
    wire.on("POST", TURNS_PATH, json_reply(story.sent(finished), 200))
    wire.on("GET", EVENTS_PATH, lambda request: stream(rest(request)))
    message = await (await client.answer(SESSION, "Hello", message_id="mine")).result()
    assert message is not None
    assert len(message.parts) == 4


@pytest.mark.anyio
async def test_watching_from_a_state(wire: Wire, client: AsyncClient) -> None:
    wire.on("GET", EVENTS_PATH, stream(frames([story.token("jour"), *story.ending()], first_seq=6)))
    answer = client.watch(Sent(story.turn(), cursor(5)), story.state(text="Bon"))
    assert [piece async for piece in answer] == [Piece("jour", 3)]
    assert answer.text == "Bonjour"


@pytest.mark.anyio
async def test_watching_what_has_ended(wire: Wire, client: AsyncClient) -> None:
    answer = client.watch(Sent(story.turn(), cursor(5)), story.state(text="Bon", status="cancelled"))
    assert [piece async for piece in answer] == []
    assert wire.requests == []


@pytest.mark.anyio
async def test_a_turn_without_an_answer(wire: Wire, client: AsyncClient) -> None:
    """Steered, or withdrawn while it waited."""
    events: list[Event] = [TurnEvent(story.turn()), story.done("cancelled", "withdrawn")]
    wire.on("GET", EVENTS_PATH, lambda request: stream(rest(request, events)))
    answer = await client.answer(SESSION, "Hello")
    assert await answer.result() is None
    assert answer.turn.reason == "withdrawn"
