"""Group commit: what is merged, what is retried, who is held back, and who is told when it can't be done."""

import asyncio
import random
from collections.abc import AsyncIterator

import anyio
import msgspec
import pytest

from legato.agents.registry import AgentSpec
from legato.agents.turn import Turn
from legato.core.errors import Unavailable
from legato.core.events import Event, Reset, StatusUpdate, Token, Warning
from legato.core.text import normalise
from legato.engine import journal as engine_journal
from legato.engine.journal import ROOM_BYTES, Fenced, TurnWriter
from legato.store import rescuing
from tests.engine.talking import Talk, only
from tests.engine.wiring import FaultyStore, Wired, opened, wire, working
from tests.http.puppets import Puppets
from tests.support.conversation import Conversation

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(sqlite: str) -> AsyncIterator[FaultyStore]:
    async with opened(sqlite) as store:
        yield store


@pytest.fixture
async def wired(store: FaultyStore) -> AsyncIterator[Wired]:
    wired = wire(store)
    yield wired
    await wired.tasks.settle(5)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage is soon too long."""
    monkeypatch.setattr(engine_journal, "RETRY_FOR_S", 0.3)


@pytest.fixture
async def conversation(store: FaultyStore) -> AsyncIterator[Conversation]:
    """A session with a running turn that has said nothing."""
    conversation = await Conversation.begin(store)
    await conversation.start()
    yield conversation
    await conversation.agree()


@pytest.fixture
def writer(wired: Wired, conversation: Conversation) -> TurnWriter:
    return writer_of(wired, conversation)


def writer_of(wired: Wired, conversation: Conversation) -> TurnWriter:
    running = conversation.running
    assert running is not None
    return wired.journal.writer(conversation.id, running.turn.id, running.epoch, running.after)


async def spoken(conversation: Conversation) -> list[Event]:
    """What the running turn's owner has brought into the journal."""
    assert conversation.running is not None
    start = conversation.running.rows[-1].last_seq
    return [event for _, event in await conversation.events(start)]


def texts(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Token)]


async def test_an_idle_journal_commits_at_once_and_a_busy_one_what_has_gathered(
    store: FaultyStore, writer: TurnWriter, conversation: Conversation
) -> None:
    store.open.clear()
    writer.token("msg_1", 0, "text", "one ")
    await store.waiting.wait()
    for word in ("two ", "three ", "four "):
        writer.token("msg_1", 0, "text", word)
    store.open.set()
    await writer.flush()
    assert texts(await spoken(conversation)) == ["one ", "two three four "]
    assert [[batch.number for batch in batches] for batches in store.appended] == [[1], [2]]


async def test_only_neighbours_of_the_same_part_are_merged(writer: TurnWriter, conversation: Conversation) -> None:
    writer.token("msg_1", 0, "reasoning", "a")
    writer.token("msg_1", 0, "reasoning", "b")
    writer.token("msg_1", 1, "text", "c")
    writer.event(StatusUpdate(writer.turn_id, "planning"))
    writer.token("msg_1", 1, "text", "d")
    writer.token("msg_1", 1, "text", "e")
    writer.token("msg_2", 0, "text", "f")
    await writer.flush()
    events = await spoken(conversation)
    assert texts(events) == ["ab", "c", "de", "f"]
    assert isinstance(events[2], StatusUpdate)


async def test_turns_of_all_sessions_go_into_one_commit(
    store: FaultyStore, wired: Wired, writer: TurnWriter, conversation: Conversation
) -> None:
    others = [await Conversation.begin(store) for _ in range(3)]
    for other in others:
        await other.start()
    store.open.clear()
    writer.token("msg_1", 0, "text", "first")
    await store.waiting.wait()
    writers = [writer_of(wired, other) for other in others]
    for each in writers:
        each.token("msg_1", 0, "text", "together")
    store.open.set()
    for each in writers:
        await each.flush()
    assert [len(batches) for batches in store.appended] == [1, 3]
    for session in others:
        assert texts(await spoken(session)) == ["together"]


async def test_a_long_piece_becomes_several_events(writer: TurnWriter, conversation: Conversation) -> None:
    text = "".join(random.Random(7).choices("abcdefgh ж🍷", k=100_000))
    writer.token("msg_1", 0, "text", text)
    await writer.flush()
    said = texts(await spoken(conversation))
    assert [len(piece) for piece in said] == [32768, 32768, 32768, 1696]
    assert "".join(said) == text


@pytest.mark.parametrize("seed", range(8))
async def test_surrogates_across_pieces_come_out_as_if_they_had_come_in_one(
    writer: TurnWriter, conversation: Conversation, seed: int
) -> None:
    chance = random.Random(seed)
    text = "".join(chance.choices(["a", "\ud83c", "\udf77", "\ud83c\udf77", "\x00", "\u2028", "é"], k=60))
    at = 0
    while at < len(text):
        step = chance.randint(1, 3)
        writer.token("msg_1", 0, "text", text[at : at + step])
        at += step
        if chance.random() < 0.3:
            await anyio.lowlevel.checkpoint()
    await writer.flush()
    assert "".join(texts(await spoken(conversation))) == normalise(text)


async def test_half_a_pair_comes_out_before_what_follows_it(writer: TurnWriter, conversation: Conversation) -> None:
    writer.token("msg_1", 0, "text", "a\ud83c")
    writer.event(Warning(writer.turn_id, "w", "between"))
    writer.token("msg_1", 0, "text", "\udf77b")
    await writer.flush()
    assert texts(await spoken(conversation)) == ["a\ufffd", "\ufffdb"]


async def test_who_says_too_much_waits_until_it_is_on_its_way(store: FaultyStore, writer: TurnWriter) -> None:
    store.open.clear()
    writer.token("msg_1", 0, "text", "first")
    await store.waiting.wait()
    writer.token("msg_1", 0, "text", "x" * (ROOM_BYTES - 100))
    await writer.room()
    writer.token("msg_1", 0, "text", "x")
    waited = anyio.Event()

    async def wait() -> None:
        await writer.room()
        waited.set()

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert not waited.is_set()
        store.open.set()
    await writer.flush()


async def test_flush_of_nothing_returns_at_once(store: FaultyStore, writer: TurnWriter) -> None:
    await writer.flush()
    assert store.appended == []


@pytest.mark.promise("E-02")
@pytest.mark.parametrize("fault", ["lost", "answer lost"])
async def test_a_commit_that_failed_is_tried_again_and_enters_once(
    store: FaultyStore, writer: TurnWriter, conversation: Conversation, hasty: None, fault: str
) -> None:
    store.faults = [fault, fault, None, fault]  # type: ignore[list-item]
    store.open.clear()
    writer.token("msg_1", 0, "text", "one ")
    await store.waiting.wait()
    writer.token("msg_1", 0, "text", "two ")
    store.open.set()
    await writer.flush()
    assert texts(await spoken(conversation)) == ["one ", "two "]
    assert [[batch.number for batch in batches] for batches in store.appended] == [[1], [1], [1], [2], [2]]
    assert not store.appended[0][0].again
    assert store.appended[1] == store.appended[2] == [msgspec.structs.replace(store.appended[0][0], again=True)]


@pytest.mark.promise("E-02")
async def test_readers_are_told_of_a_commit_whose_answer_was_lost_once(
    store: FaultyStore, wired: Wired, conversation: Conversation, hasty: None
) -> None:
    talk = Talk(wired.engine, "ann", conversation.id)
    writer = writer_of(wired, conversation)
    head = await talk.engine.head("ann", talk.id)
    store.faults = ["answer lost"]
    writer.token(conversation.answer_id, 0, "text", "one ")
    told = await talk.until(lambda event: isinstance(event, Token), after=head)
    writer.event(StatusUpdate(writer.turn_id, "planning"))
    told += await talk.until(lambda event: isinstance(event, StatusUpdate), after=told[-1][0])
    assert texts([event for _, event in told]) == ["one "]
    assert [seq for seq, _ in told] == [head + 1, head + 2]


async def test_an_outage_that_lasts_too_long_ends_the_writing(
    store: FaultyStore, writer: TurnWriter, conversation: Conversation, hasty: None, caplog: pytest.LogCaptureFixture
) -> None:
    store.faults = ["lost"] * 1000
    writer.token("msg_1", 0, "text", "one")
    with pytest.raises(Unavailable):
        await writer.flush()
    with pytest.raises(Unavailable):
        await writer.room()
    with pytest.raises(Unavailable):
        writer.token("msg_1", 0, "text", "two")
    assert len(store.appended) > 2
    assert "trying again" in caplog.text
    assert await spoken(conversation) == []


async def test_a_replaced_owner_is_refused_and_its_neighbours_are_not(
    store: FaultyStore, wired: Wired, writer: TurnWriter, conversation: Conversation
) -> None:
    other = await Conversation.begin(store)
    await other.start()
    assert conversation.running is not None
    await conversation.cancel(conversation.running.turn.id)
    neighbour = writer_of(wired, other)
    store.open.clear()
    writer_of(wired, other).token("msg_1", 0, "text", "hold")
    await store.waiting.wait()
    writer.token("msg_1", 0, "text", "too late")
    store.open.set()
    with pytest.raises(Fenced):
        await writer.flush()
    assert writer.fenced
    with pytest.raises(Fenced):
        writer.token("msg_1", 0, "text", "much too late")
    with pytest.raises(Fenced):
        await writer.room()
    assert neighbour.fenced is False
    assert texts(await spoken(conversation)) == []


async def test_an_attempt_that_is_still_stopping_holds_up_no_word_of_the_next_one(
    store: FaultyStore, wired: Wired, conversation: Conversation
) -> None:
    """Both are of one turn."""
    old = writer_of(wired, conversation)
    assert conversation.running is not None
    assert await store.write(rescuing.park, conversation.id, conversation.running.turn.id, conversation.running.epoch)
    await conversation.claimed("wrk_2")
    new = writer_of(wired, conversation)
    new.token(conversation.answer_id, 0, "text", "Hi")
    old.token(conversation.answer_id, 0, "text", "Bye")
    with pytest.raises(Fenced):
        await old.flush()
    assert texts(await spoken(conversation)) == ["Hi"], "it went with the same commit"


async def test_who_waits_for_words_of_a_turn_that_is_over_waits_no_longer(
    store: FaultyStore, wired: Wired, writer: TurnWriter, conversation: Conversation
) -> None:
    """Its words waited behind another commit, and nobody takes them now."""
    other = await Conversation.begin(store)
    await other.start()
    store.open.clear()
    neighbour = writer_of(wired, other)
    neighbour.token("msg_1", 0, "text", "Hi")
    await store.waiting.wait()
    writer.token("msg_1", 0, "text", "Bye")
    flushed = asyncio.ensure_future(writer.flush())
    await asyncio.sleep(0)  # it waits
    writer.close()
    with pytest.raises(Fenced):
        await asyncio.wait_for(flushed, 10)
    store.open.set()
    await neighbour.flush()


async def test_who_says_what_cannot_be_written_fails_alone(
    store: FaultyStore, wired: Wired, writer: TurnWriter, conversation: Conversation
) -> None:
    other = await Conversation.begin(store)
    await other.start()
    fine = writer_of(wired, other)
    with pytest.raises(TypeError):
        writer.event(Warning(writer.turn_id, "w", object()))  # type: ignore[arg-type]
    fine.token("msg_1", 0, "text", "fine")
    await fine.flush()
    await writer.flush()
    assert texts(await spoken(other)) == ["fine"]


async def test_a_fault_of_the_store_that_is_no_outage_is_not_retried(
    store: FaultyStore, writer: TurnWriter, conversation: Conversation
) -> None:
    store.faults = [ValueError("a bug")]
    writer.token("msg_1", 0, "text", "one")
    with pytest.raises(ValueError, match="a bug"):
        await writer.flush()
    assert len(store.appended) == 1


async def test_a_reset_goes_between_the_words(writer: TurnWriter, conversation: Conversation) -> None:
    writer.token("msg_1", 0, "text", "wrong")
    writer.event(Reset(writer.turn_id, "msg_1"))
    writer.token("msg_1", 0, "text", "right")
    await writer.flush()
    assert [type(event) for event in await spoken(conversation)] == [Token, Reset, Token]


@pytest.mark.promise("R-05", "R-12")
async def test_a_turn_that_says_what_cannot_be_written_ends_all_the_same(store: FaultyStore) -> None:
    async def answer(turn: Turn) -> AsyncIterator[str]:
        yield "Word."
        await turn.status(object())  # type: ignore[arg-type]
        yield "More."

    async with working(store, AgentSpec(id="a", name="A", run=answer)) as worker:
        talk = await Talk.begin(worker.engine)
        turn = await talk.ask()
    assert turn.error is not None
    assert (turn.status, turn.error.code) == ("failed", "agent_error")


@pytest.mark.promise("R-05")
async def test_a_short_outage_costs_a_turn_nothing(store: FaultyStore, hasty: None, puppets: Puppets) -> None:
    async with working(store, AgentSpec(id="p", name="P", run=puppets.answer)) as worker:
        talk = await Talk.begin(worker.engine)
        turn = await talk.send()
        puppet = await puppets.of(turn.id)
        store.faults = ["lost", "answer lost", "lost"]
        puppet.say("One ", "two ")
        await talk.said("One two ")
        store.faults = ["answer lost"]
        puppet.say("three.")
        puppet.end()
        assert (await talk.ended(turn.id)).status == "completed"
        assert await talk.texts() == ["Hello", "One two three."]


@pytest.mark.promise("R-05")
async def test_an_outage_too_long_for_the_words_ends_the_turn_as_soon_as_the_store_is_back(
    store: FaultyStore, hasty: None, puppets: Puppets, caplog: pytest.LogCaptureFixture
) -> None:
    async with working(store, AgentSpec(id="p", name="P", run=puppets.answer)) as worker:
        talk = await Talk.begin(worker.engine)
        turn = await talk.send()
        puppet = await puppets.of(turn.id)
        puppet.say("Stored. ")
        await talk.said("Stored. ")
        store.broken = {"finish"}
        store.faults = ["lost"] * 1000
        puppet.say("Lost.")
        puppet.say("And so on.")
        puppet.end()
        await store.refused.wait()
        assert (await talk.turn(turn.id)).status == "in_progress"
        store.broken = set()
        ended = await talk.ended(turn.id)
    assert ended.error is not None
    assert (ended.status, ended.reason, ended.error.code) == ("incomplete", "store_unavailable", "store_unavailable")
    assert "what it said last could not be stored: Unavailable" in caplog.text
    assert "waits for the store to take its end" in caplog.text


async def test_only_merged_tokens_are_numbered(
    store: FaultyStore, writer: TurnWriter, conversation: Conversation
) -> None:
    store.open.clear()
    writer.token("msg_1", 0, "text", "a")
    await store.waiting.wait()
    for _ in range(500):
        writer.token("msg_1", 0, "text", "b")
    store.open.set()
    await writer.flush()
    told = await conversation.events()
    assert [seq for seq, _ in told] == list(range(1, len(told) + 1))
    assert len(only(Token, told)) == 2
