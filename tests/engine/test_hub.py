"""Live readers: whatever happens, what a reader is given is the journal after its position (promises E-01, E-03, E-06)."""

import random
from collections.abc import AsyncIterator

import anyio
import pytest

from legato import Legato
from legato.core.errors import Corrupted, ProviderCut, Unavailable
from legato.core.events import Event, Token, Warning
from legato.core.sse import encode_row
from legato.engine.engine import Engine
from legato.engine.hub import WINDOW_BYTES, Hub, Reader, after
from legato.engine.journal import TurnWriter
from legato.store import journal
from legato.store.port import Row
from tests.engine.talking import PATIENCE_S, Talk, only, parse
from tests.engine.wiring import FaultyStore, Wired, opened, sql, wire
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
async def conversation(store: FaultyStore) -> Conversation:
    """A session with a running turn: rows of several events each, and a few of one."""
    conversation = await Conversation.begin(store)
    await conversation.start()
    for number in range(5):
        warning = Warning("trn", "w", str(number))
        await conversation.tell(conversation.token(f"{number} "), warning, warning)
    return conversation


async def take(reader: Reader, head: int) -> list[tuple[int, Event]]:
    """What a reader is given up to a seq, checked to have neither gap nor double."""
    told: list[tuple[int, Event]] = []
    at = reader.position
    while at < head:
        chunk = await reader.next(PATIENCE_S)
        assert chunk is not None
        seqs = [seq for seq, _ in parse(chunk.frames)]
        assert seqs == list(range(at + 1, chunk.last_seq + 1))
        assert reader.position == chunk.last_seq
        told += parse(chunk.frames)
        at = chunk.last_seq
    return told


def writer_of(wired: Wired, conversation: Conversation) -> TurnWriter:
    running = conversation.running
    assert running is not None
    writer = wired.journal.writer(conversation.id, running.turn.id, running.epoch, running.after)
    writer._number = conversation.number  # it goes on where the conversation has stopped
    return writer


@pytest.mark.promise("E-01", "E-03")
async def test_a_reader_from_any_position_gets_the_rest_of_the_journal(
    wired: Wired, conversation: Conversation
) -> None:
    whole = await conversation.events()
    for position in range(len(whole) + 1):
        with wired.hub.reader(conversation.id, position) as reader:
            assert await take(reader, len(whole)) == whole[position:]
            assert await reader.next(0) is None


@pytest.mark.promise("E-03", "E-06")
@pytest.mark.parametrize("seed", range(2))
async def test_readers_that_come_at_any_time_see_the_same_without_gap_or_double(
    wired: Wired, conversation: Conversation, seed: int
) -> None:
    chance = random.Random(seed)
    writer = writer_of(wired, conversation)
    finished = anyio.Event()
    taken: list[tuple[int, list[tuple[int, Event]]]] = []
    last = 0

    async def read(after_commits: int, position: int) -> None:
        while len(wired.store.appended) < after_commits and not finished.is_set():
            await anyio.lowlevel.checkpoint()
        with wired.hub.reader(conversation.id, position) as reader:
            told: list[tuple[int, Event]] = []
            while not (finished.is_set() and reader.position >= last):
                chunk = await reader.next(0.05)
                if chunk is not None:
                    told += parse(chunk.frames)
                    for _ in range(chance.choice([0, 0, 5, 50])):
                        await anyio.lowlevel.checkpoint()
        taken.append((position, told))

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(read, chance.randint(0, 40), chance.randint(0, 10))
        for number in range(200):
            if chance.random() < 0.2:
                writer.event(Warning(writer.turn_id, "w", str(number)))
            writer.token(conversation.answer_id, 0, "text", f"{number} ")
            if chance.random() < 0.3:
                await writer.flush()
        await writer.flush()
        last = await wired.engine.head("ann", conversation.id)
        finished.set()
    whole = await conversation.events()
    for position, told in taken:
        assert told == whole[position:]


async def test_what_the_window_has_lost_comes_from_the_store(
    wired: Wired, conversation: Conversation, store: FaultyStore
) -> None:
    head = await wired.engine.head("ann", conversation.id)
    writer = writer_of(wired, conversation)
    with wired.hub.reader(conversation.id, head) as slow, wired.hub.reader(conversation.id, head) as quick:
        for _ in range(6):
            writer.token(conversation.answer_id, 0, "text", "x" * (WINDOW_BYTES // 4))
            await writer.flush()
            await take(quick, await wired.engine.head("ann", conversation.id))
        store.broken = {"read_rows"}
        with pytest.raises(Unavailable):
            await slow.next(0)
        store.broken = set()
        told = await take(slow, await wired.engine.head("ann", conversation.id))
    assert told == (await conversation.events())[head:]


async def test_a_reader_near_the_end_asks_the_store_for_nothing(
    wired: Wired, conversation: Conversation, store: FaultyStore
) -> None:
    head = await wired.engine.head("ann", conversation.id)
    writer = writer_of(wired, conversation)
    with wired.hub.reader(conversation.id, head) as one, wired.hub.reader(conversation.id, head) as two:
        assert await one.next(0) is None
        assert await two.next(0) is None
        store.broken = {"read_rows"}
        for word in ("a ", "b "):
            writer.token(conversation.answer_id, 0, "text", word)
            await writer.flush()
        assert [event.text for event in only(Token, await take(one, head + 2))] == ["a ", "b "]
        writer.token(conversation.answer_id, 0, "text", "c ")
        await writer.flush()
        assert [event.text for event in only(Token, await take(two, head + 3))] == ["a ", "b ", "c "]


@pytest.mark.promise("E-03")
@pytest.mark.parametrize("order", [(2, 0, 1, 3, 3, 2), (0, 2, 1, 3), (0, 3), (3, 2, 1, 0), (0, 1, 1, 3, 2)])
async def test_rows_that_are_told_out_of_order_or_twice_are_delivered_in_order_and_once(
    wired: Wired, conversation: Conversation, order: tuple[int, ...]
) -> None:
    before = await wired.engine.head("ann", conversation.id)
    with wired.hub.reader(conversation.id, before) as reader:
        assert await reader.next(0) is None
        rows = [row for word in "abcd" if (row := await conversation.say(word)) is not None]
        for at in order:
            wired.hub.committed(rows[at])
        told = await take(reader, rows[-1].last_seq)
    assert [event.text for event in only(Token, told)] == list("abcd")


@pytest.mark.promise("E-03")
async def test_a_ring_of_another_process_brings_its_rows_to_all_readers(
    wired: Wired, conversation: Conversation
) -> None:
    head = await wired.engine.head("ann", conversation.id)
    with wired.hub.reader(conversation.id, head) as one, wired.hub.reader(conversation.id, head) as two:
        assert await one.next(0) is None
        async with anyio.create_task_group() as group:
            for reader in (one, two):
                group.start_soon(take, reader, head + 3)
            await anyio.wait_all_tasks_blocked()
            await conversation.say("a")
            wired.hub.heard([conversation.id, "ses_nobody_reads"])
            await conversation.say("b")
            wired.hub.heard([conversation.id])
            await conversation.say("c")
            wired.hub.heard(None)


@pytest.mark.promise("E-03")
async def test_rings_while_a_fetch_is_under_way_are_not_forgotten(
    wired: Wired, conversation: Conversation, store: FaultyStore
) -> None:
    head = await wired.engine.head("ann", conversation.id)
    with wired.hub.reader(conversation.id, head) as reader:
        assert await reader.next(0) is None
        store.waiting.clear()
        store.held = {"read_rows"}
        wired.hub.heard([conversation.id])
        await store.waiting.wait()
        store.held = set()
        await conversation.say("a")
        wired.hub.heard([conversation.id])
        store.released.set()
        await wired.tasks.settle(5)
        store.broken = {"read_rows"}  # it has been fetched already
        assert [event.text for event in only(Token, await take(reader, head + 1))] == ["a"]


@pytest.mark.promise("E-03")
async def test_a_lost_ring_is_found_out_by_looking(wired: Wired, conversation: Conversation) -> None:
    head = await wired.engine.head("ann", conversation.id)
    await wired.hub.look()  # nobody follows anything
    with wired.hub.reader(conversation.id, head) as reader:
        assert await reader.next(0) is None
        await wired.hub.look()
        assert await reader.next(0) is None
        await conversation.say("a")
        assert await reader.next(0) is None, "nobody has rung"
        await wired.hub.look()
        assert [event.text for event in only(Token, await take(reader, head + 1))] == ["a"]


async def test_a_look_that_fails_is_made_again(
    wired: Wired, conversation: Conversation, store: FaultyStore, caplog: pytest.LogCaptureFixture
) -> None:
    head = await wired.engine.head("ann", conversation.id)
    with wired.hub.reader(conversation.id, head) as reader:
        assert await reader.next(0) is None
        await conversation.say("a")
        store.broken = {"read_rows"}
        await wired.hub.look()
        await wired.tasks.settle(5)
        assert "hub fetch failed: Unavailable" in caplog.text
        store.broken = set()
        await wired.hub.look()
        assert only(Token, await take(reader, head + 1))[0].text == "a"


async def test_stop_ends_every_reader(wired: Wired, conversation: Conversation) -> None:
    head = await wired.engine.head("ann", conversation.id)
    ended: list[bool] = []

    async def follow() -> None:
        with wired.hub.reader(conversation.id, head) as reader:
            ended.append(await reader.next(PATIENCE_S) is None and reader.stopped)

    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        group.start_soon(follow)
        await anyio.wait_all_tasks_blocked()
        wired.hub.stop()
    assert ended == [True, True]
    with wired.hub.reader(conversation.id, 0) as late:
        assert await late.next(PATIENCE_S) is None


async def test_a_reader_that_nobody_feeds_waits_so_long_and_no_longer(wired: Wired, conversation: Conversation) -> None:
    head = await wired.engine.head("ann", conversation.id)
    with wired.hub.reader(conversation.id, head) as reader:
        assert await reader.next(0.01) is None
        assert not reader.stopped


@pytest.mark.promise("E-01")
async def test_tombstones_move_a_reader_on_and_show_it_nothing(wired: Wired, conversation: Conversation) -> None:
    await wired.engine.clear("ann", conversation.id)
    head = await wired.engine.head("ann", conversation.id)
    for position in (0, 3, head - 1):
        with wired.hub.reader(conversation.id, position) as reader:
            told: list[tuple[int, Event]] = []
            while reader.position < head:
                chunk = await reader.next(0)
                assert chunk is not None
                told += parse(chunk.frames)
            assert [type(event).__name__ for _, event in told][-1] == "Snapshot"
            assert told == [line for line in await conversation.events() if line[0] > position]


@pytest.mark.promise("X-06")
async def test_whoever_comes_back_to_rows_that_are_gone_is_told(chat: Legato, talk: Talk, puppets: Puppets) -> None:
    turn = await talk.send()
    (await puppets.of(turn.id)).fail(ProviderCut())
    await talk.ended(turn.id)
    engine = chat.engine
    head = await engine.head("ann", talk.id)
    assert (await engine.first(talk.id, 0)).last_seq <= head
    await engine.store.write(sql, f"DELETE FROM journal WHERE session_id = '{talk.id}' AND last_seq = {head}")  # noqa: S608
    reached = (await engine.store.read(journal.read_rows, talk.id, 0))[-1].last_seq
    assert reached < head
    with pytest.raises(Corrupted):
        await engine.first(talk.id, reached)


@pytest.mark.promise("E-06")
async def test_a_newcomer_who_knows_of_more_tells_those_who_wait(wired: Wired, conversation: Conversation) -> None:
    """Another process has committed, and its ring comes after somebody has found out by asking."""
    rows = await conversation.rows()
    head = rows[-1].last_seq
    with wired.hub.reader(conversation.id, rows[-2].last_seq) as waiting:
        async with anyio.create_task_group() as group:
            group.start_soon(take, waiting, head)
            await anyio.wait_all_tasks_blocked()
            with wired.hub.reader(conversation.id, head):
                wired.hub.heard([conversation.id])
                await wired.tasks.settle(5)
        assert waiting.position == head


async def test_an_idle_channel_holds_nothing(wired: Wired, conversation: Conversation) -> None:
    with wired.hub.reader(conversation.id, 0) as reader:
        for row in await conversation.rows():
            wired.hub.committed(row)
        await wired.hub.rest()  # something has just happened
        assert (chunk := await reader.next(PATIENCE_S)) is not None
        await wired.hub.rest()
        wired.store.broken = {"read_rows"}
        with (
            wired.hub.reader(conversation.id, 0) as late,
            pytest.raises(Unavailable),
        ):  # so late a reader asks the store
            await late.next(PATIENCE_S)
        assert chunk.last_seq == reader.position


async def test_a_follower_that_goes_takes_its_channel_along(wired: Wired, conversation: Conversation) -> None:
    hub: Hub = wired.hub
    with hub.reader(conversation.id, 0):
        with hub.reader(conversation.id, 0):
            assert len(hub._channels) == 1
        assert len(hub._channels) == 1
    assert hub._channels == {}


def test_a_row_is_cut_after_a_position() -> None:
    row = Row("ses", 5, 8, b"a\n\nc\nd")
    assert after(row, 4) == row
    assert after(row, 0) == row
    assert after(row, 6) == Row("ses", 7, 8, b"c\nd")
    assert after(row, 5) == Row("ses", 6, 8, b"\nc\nd")
    assert encode_row("i", 6, b"\nc {}\nd {}") == (b"id: i.7\nevent: c\ndata: {}\n\nid: i.8\nevent: d\ndata: {}\n\n")


@pytest.mark.promise("E-03")
async def test_rows_for_those_who_poll_are_cut_and_waited_for(chat: Legato, talk: Talk) -> None:
    engine: Engine = chat.engine
    head = await engine.head("ann", talk.id)
    assert await engine.rows(talk.id, head, 0) == []
    assert await engine.rows(talk.id, head, 0.01) == []
    got: list[Row] = []

    async def poll() -> None:
        got.extend(await engine.rows(talk.id, head, PATIENCE_S))

    async with anyio.create_task_group() as group:
        group.start_soon(poll)
        await anyio.wait_all_tasks_blocked()
        await talk.send()
    assert got[0].first_seq == head + 1
    (row, *_) = await engine.store.read(journal.read_rows, talk.id, head)
    if row.last_seq > row.first_seq:
        assert (await engine.rows(talk.id, row.first_seq, 0))[0].first_seq == row.first_seq + 1
