"""Deleting a session: what runs in it stops, who reads it is let go, and then it is erased (promise S-07, guarantee G12)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest
from sqlalchemy import Connection, func, select, update

from legato import Legato
from legato.core.errors import SessionNotFound
from legato.engine.eraser import Eraser
from legato.engine.scrubber import Scrubber
from legato.store import chores, erasing, schema, scrubbing, workers
from legato.store.chores import Chore
from legato.store.compaction import compactable
from tests.engine.talking import PATIENCE_S, Talk
from tests.engine.test_two_workers import Worker, started
from tests.engine.wiring import FaultyStore, Wired, opened, working
from tests.http.puppets import Puppets
from tests.support.brief import BRIEF
from tests.support.conversation import Conversation, meter, new_session

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S-07")]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def chat(url: str, puppets: Puppets) -> AsyncIterator[Legato]:
    chat = Legato(url, settings=BRIEF, environment={})
    chat.agent("puppet")(puppets.answer)
    async with chat.lifespan():
        yield chat


@pytest.fixture
async def store(url: str) -> AsyncIterator[FaultyStore]:
    async with opened(url) as store:
        yield store


def rows_of(conn: Connection, session_id: str) -> int:
    """How many rows hang on a session."""
    tables = (schema.messages, schema.journal, schema.turns, schema.sends)
    counts = [select(func.count()).select_from(table).where(table.c.session_id == session_id) for table in tables]
    return sum(conn.execute(count).scalar_one() for count in counts)


def is_there(conn: Connection, session_id: str) -> bool:
    return conn.execute(select(schema.sessions.c.id).where(schema.sessions.c.id == session_id)).first() is not None


def soon(conn: Connection) -> None:
    conn.execute(update(schema.chores).values(due_at=0))


# Whoever runs in it and reads it


async def test_what_runs_in_it_stops_and_who_reads_it_is_let_go(chat: Legato, puppets: Puppets) -> None:
    talk, engine = await Talk.begin(chat.engine), chat.engine
    turn, waiting = await talk.send(), await talk.send("And then?")
    puppet = await puppets.of(turn.id)
    puppet.say("Once upon ")
    await talk.said("Once upon ")
    with engine.hub.reader(talk.id, await engine.head("ann", talk.id)) as reader:
        async with anyio.create_task_group() as group:
            group.start_soon(engine.delete, "ann", talk.id)
            while not reader.stopped:
                assert await reader.next(PATIENCE_S) is None
        puppet.say("a time.")
        await puppet.gone.wait()
        assert await reader.next(0) is None
    assert not puppets.plays(waiting.id)
    for late in (engine.get_session("ann", talk.id), engine.turn("ann", talk.id, turn.id), talk.sent("Hello?")):
        with pytest.raises(SessionNotFound):
            await late


async def test_its_owners_list_is_told_and_nobody_elses(chat: Legato) -> None:
    talk = await Talk.begin(chat.engine)
    with chat.engine.lists.watch("ann") as ann, chat.engine.lists.watch("bob") as bob:
        await ann.next(0)
        await bob.next(0)
        await chat.engine.delete("ann", talk.id)
        assert await ann.next(PATIENCE_S) == {talk.id: "deleted"}
        assert await bob.next(0) == {}


async def test_only_its_owner_deletes_it_and_only_once(chat: Legato) -> None:
    talk = await Talk.begin(chat.engine)
    with pytest.raises(SessionNotFound):
        await chat.engine.delete("bob", talk.id)
    done = await asyncio.gather(*(chat.engine.delete("ann", talk.id) for _ in range(5)), return_exceptions=True)
    assert [type(one) for one in done if one is not None] == [SessionNotFound] * 4


async def test_it_is_erased_by_itself(chat: Legato, puppets: Puppets) -> None:
    """All of it, by the loops of a running server."""
    talk, store = await Talk.begin(chat.engine), chat.engine.store
    turn = await talk.send()
    (await puppets.of(turn.id)).end()
    await chat.engine.delete("ann", talk.id)
    while await store.read(rows_of, talk.id):
        pass
    while await store.read(is_there, talk.id):
        await store.write(soon)


async def test_who_comes_too_late_to_be_told_finds_out_by_looking(store: FaultyStore) -> None:
    """Authorised before, registered after: nobody else would ever end it."""
    conversation = await Conversation.begin(store)
    async with working(store) as wired:
        await store.write(erasing.remove, conversation.id, "ann", meter)
        with wired.hub.reader(conversation.id, 1) as reader:
            assert await reader.next(PATIENCE_S) is None
            assert reader.stopped


async def test_a_ring_that_was_lost_is_made_up_for_by_looking(store: FaultyStore) -> None:
    conversation, stays = await Conversation.begin(store), await Conversation.begin(store)
    async with working(store) as wired:
        with wired.hub.reader(conversation.id, 1) as reader, wired.hub.reader(stays.id, 1) as other:
            await reader.next(0)
            await other.next(0)
            await store.write(erasing.remove, conversation.id, "ann", meter)
            await wired.hub.look()
            assert reader.stopped
            assert not other.stopped


async def test_compaction_passes_it_over(store: FaultyStore) -> None:
    conversation = await Conversation.begin(store)
    await conversation.answer()
    assert len(await store.read(compactable, 1 << 62, 10)) == 1
    await store.write(erasing.remove, conversation.id, "ann", meter)
    assert await store.read(compactable, 1 << 62, 10) == []


# Several processes


@pytest.fixture
async def pair(postgres: str) -> AsyncIterator[tuple[Worker, Worker]]:
    async with AsyncExitStack() as stack:
        yield await asyncio.gather(started(stack, postgres), started(stack, postgres))


@pytest.mark.promise("X-09")
async def test_another_process_ends_its_readers_its_turn_and_tells_its_lists(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    talk = await Talk.begin(one.chat.engine)
    turn = await talk.send()
    puppet = await one.puppets.of(turn.id)
    puppet.say("Once upon ")
    await talk.said("Once upon ")
    head = await talk.engine.head("ann", talk.id)
    with one.chat.engine.lists.watch("ann") as ann, one.chat.engine.hub.reader(talk.id, head) as reader:
        await ann.next(0)
        await two.chat.engine.delete("ann", talk.id)
        while not reader.stopped:
            await reader.next(PATIENCE_S)
        await puppet.gone.wait()
        hints: dict[str, Any] = {}
        while hints.get(talk.id) != "deleted":
            hints |= await ann.next(PATIENCE_S)


@pytest.mark.promise("X-09")
async def test_two_processes_that_delete_at_once_do_it_once(pair: tuple[Worker, Worker]) -> None:
    engines = [worker.chat.engine for worker in pair]
    for _ in range(10):
        talk = await Talk.begin(engines[0])
        done = await asyncio.gather(*(engine.delete("ann", talk.id) for engine in engines), return_exceptions=True)
        assert sorted(map(type, done), key=str) == sorted([type(None), SessionNotFound], key=str)


# Erasing


def erasing_with(store: FaultyStore) -> tuple[Eraser, dict[str, Any]]:
    eraser = Eraser(store=store)
    return eraser, {"duties": (eraser.duty,)}


async def steps(wired: Wired, count: int = 1) -> None:
    for _ in range(count):
        await wired.chores.step()
        await wired.tasks.settle(5)


async def deleted(store: FaultyStore) -> str:
    """A session with a few turns that has just been deleted."""
    conversation = await Conversation.begin(store)
    for _ in range(5):
        await conversation.answer("Once upon a time.")
    await store.write(erasing.remove, conversation.id, "ann", meter)
    return conversation.id


async def test_what_was_deleted_is_erased(store: FaultyStore) -> None:
    store.shared = False
    session_id = await deleted(store)
    _, options = erasing_with(store)
    async with working(store, **options) as wired:
        await steps(wired)
    assert not await store.read(is_there, session_id)
    assert await store.read(rows_of, session_id) == 0


async def test_where_others_look_whose_it_was_its_row_stays_for_a_moment(store: FaultyStore) -> None:
    store.shared = True
    session_id = await deleted(store)
    _, options = erasing_with(store)
    async with working(store, **options) as wired:
        await steps(wired, 2)
        assert await store.read(rows_of, session_id) == 0
        assert await store.read(is_there, session_id)
        await store.write(soon)
        await steps(wired)
    assert not await store.read(is_there, session_id)


async def test_who_dies_on_the_way_leaves_it_to_the_next(store: FaultyStore) -> None:
    store.shared = False
    session_id = await deleted(store)
    eraser, options = erasing_with(store)
    async with working(store, **options) as wired:
        eraser.rows = 1
        store.held.add("erase")
        await wired.chores.step()
        await store.waiting.wait()
        await wired.chores.stop()  # the process is gone, in the middle of it
        await store.write(workers.remove, wired.dispatcher.worker_id)
    store.held.clear()
    assert await store.read(rows_of, session_id) > 0
    _, options = erasing_with(store)
    async with working(store, **options) as wired:
        await steps(wired)
    assert not await store.read(is_there, session_id)


async def test_a_store_that_was_away_is_gone_on_with(store: FaultyStore) -> None:
    store.shared = False
    session_id = await deleted(store)
    _, options = erasing_with(store)
    async with working(store, **options) as wired:
        store.broken.add("erase")
        await steps(wired)
        store.broken.clear()
        await steps(wired)
        assert await store.read(is_there, session_id), "not at once, but soon"
        await store.write(soon)
        await steps(wired)
    assert not await store.read(is_there, session_id)


async def test_what_is_somebodys_is_never_erased(store: FaultyStore) -> None:
    """Whatever a chore says: it may be of an import that was given to its owner in the end."""
    conversation = await Conversation.begin(store)
    await conversation.answer("Once upon a time.")
    there = await store.read(rows_of, conversation.id)
    await store.write(chores.ask, conversation.id, "erase")
    _, options = erasing_with(store)
    async with working(store, **options) as wired:
        await steps(wired)
    assert await store.read(rows_of, conversation.id) == there
    await conversation.agree()


async def test_slices_grow_where_they_are_quick_and_shrink_where_they_are_not(
    store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    took_s = [0.001]

    def erase(conn: Connection, session_id: str, limit: int) -> erasing.Slice:
        sizes.append(limit)
        return erasing.Slice(limit, len(sizes) == 8, took_s[0])

    monkeypatch.setattr(erasing, "erase", erase)
    session_id = (await new_session(store)).session.id
    eraser = Eraser(store=store)
    sizes: list[int] = []
    await eraser.work(Chore(session_id, "erase", 1, 2))
    assert sizes == [100, 200, 400, 800, 1000, 1000, 1000, 1000]
    took_s[0], sizes = 1.0, []
    await eraser.work(Chore(session_id, "erase", 1, 2))
    assert sizes == [1000, 500, 250, 125, 62, 31, 15, 10]


# Scrubbing


class Scrubbed:
    """What a store says when it is told to scrub, and how often it was."""

    def __init__(self, store: FaultyStore, answers: list[bool]) -> None:
        self.times = 0
        self.meanwhile: Any = None
        self._store = store
        self._answers = answers

    async def __call__(self) -> bool:
        self.times += 1
        if self.meanwhile is not None:
            await self._store.write(self.meanwhile)
        return self._answers.pop(0)


async def test_files_are_scrubbed_once_for_all_that_was_removed(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(sqlite) as store:
        scrubbed = Scrubbed(store, [False, True])
        monkeypatch.setattr(store, "scrub", scrubbed)
        cleaned: list[bool] = []

        def clean(conn: Connection) -> bool:
            cleaned.append(len(cleaned) > 1)
            return cleaned[-1]

        scrubber = Scrubber(store=store, cleans=(clean,))
        await scrubber.step()
        assert (scrubbed.times, cleaned) == (0, [])
        for _ in range(3):
            await deleted(store)
        await scrubber.step()  # somebody reads
        assert cleaned == [False, False, True]
        await scrubber.step()
        await scrubber.step()
        assert scrubbed.times == 2


async def test_what_is_removed_while_it_is_scrubbed_is_scrubbed_again(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(sqlite) as store:
        scrubbed = Scrubbed(store, [True, True])
        monkeypatch.setattr(store, "scrub", scrubbed)
        scrubber = Scrubber(store=store)
        await store.write(scrubbing.want)
        scrubbed.meanwhile = scrubbing.want
        await scrubber.step()
        scrubbed.meanwhile = None
        await scrubber.step()
        await scrubber.step()
        assert scrubbed.times == 2


async def test_postgresql_scrubs_for_itself(postgres: str) -> None:
    async with opened(postgres) as store:
        await deleted(store)
        assert await store.read(scrubbing.wanted) is None
        assert await store.scrub()
