"""Forks: of any branch, out of reach until they are whole, in slices; nothing is used or remembered twice."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, func, select

from legato.agents.registry import AgentSpec
from legato.core.errors import MessageNotFound, SessionExists, SessionNotFound
from legato.core.ids import new_id
from legato.core.memory import Fact
from legato.store import chores, erasing, importing, memories, schema, sessions, snapshots, workers
from tests.engine.test_transfer import long_session
from tests.engine.wiring import FaultyStore, opened, working
from tests.support.conversation import EVERYTHING, Conversation, meter, text_of
from tests.support.spent import by_days
from tests.support.transferring import Ferry, silent

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S-15")]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def store(url: str) -> AsyncIterator[FaultyStore]:
    async with opened(url) as store:
        yield store


@pytest.fixture
async def ferry(store: FaultyStore) -> AsyncIterator[Ferry]:
    ferry = Ferry(store)
    yield ferry
    await ferry.tasks.settle(5)


async def texts(store: FaultyStore, session_id: str) -> list[str]:
    state, _ = await store.read(snapshots.snapshot, session_id, "ann", EVERYTHING)
    return [text_of(message) for message in state.messages]


def _sessions(conn: Connection) -> int:
    return int(conn.execute(select(func.count()).select_from(schema.sessions)).scalar_one())


async def test_any_branch_can_be_forked(store: FaultyStore, ferry: Ferry) -> None:
    talk = await Conversation.begin(store, title="Fish")
    first = await talk.answer("a1", "A")
    second = await talk.answer("b1", "B")
    retry = await talk.retried(first, "a2")
    edit = await talk.edited(first.message_id, "A!", "a!")

    for message_id, expected in (
        (None, ["A!", "a!"]),
        (edit.message_id, ["A!"]),
        (second.answer_id, ["A", "a1", "B", "b1"]),
        (retry.answer_id, ["A", "a2"]),
    ):
        fork = await ferry.forking.fork("ann", talk.id, message_id)
        assert await texts(store, fork.id) == expected
        assert (fork.title, fork.title_source) == ("Fish", "person")
        await ferry.agrees(fork.id, "ann")
        page = await store.read(snapshots.history, fork.id, "ann", 10, None)
        assert {message.session_id for message in page[0]} == {fork.id}
    with pytest.raises(MessageNotFound):
        await ferry.forking.fork("ann", talk.id, (await (await Conversation.begin(store)).answer()).message_id)
    with pytest.raises(SessionNotFound):
        await ferry.forking.fork("bob", talk.id, second.message_id)


@pytest.mark.promise("R-11")
async def test_nothing_that_was_used_counts_twice(store: FaultyStore, ferry: Ferry) -> None:
    talk = await Conversation.begin(store)
    await talk.answer("herring", "A")
    spent = await store.read(by_days, "ann")
    assert any(any(each) for each in spent.values())
    fork = await ferry.forking.fork("ann", talk.id)

    assert await store.read(by_days, "ann") == spent
    stats = await store.read(sessions.stats, fork.id, "ann")
    assert (stats.message_count, stats.turn_count, stats.usage.total_tokens) == (2, 1, 0)


@pytest.mark.promise("T-02")
async def test_what_a_fork_has_taken_over_is_the_other_ones_to_remember(store: FaultyStore, ferry: Ferry) -> None:
    talk = await Conversation.begin(store)
    first = await talk.answer("a", "I like herring")
    fork = await ferry.forking.fork("ann", talk.id)
    assert await store.read(memories.material, fork.id) is None
    await store.write(memories.keep, talk.id, (Fact("likes", "herring", first.message_id),), first.answer_id)
    await store.write(erasing.remove, fork.id, "ann", meter)

    found = await store.read(memories.page, "ann")
    assert [(fact.text, fact.session_id) for fact in found.data] == [("herring", talk.id)]


async def test_a_fork_shows_itself_when_it_is_whole(store: FaultyStore, ferry: Ferry) -> None:
    await store.write(workers.register, "wrk_1")
    talk = await Conversation.begin(store)
    await talk.answer("a", "A")
    before = await store.read(_sessions)
    new = new_id("ses")
    store.held.add("give")
    store.waiting.clear()  # what was said has come by, too
    forking = asyncio.create_task(ferry.forking.fork("ann", talk.id, new_session_id=new))
    await store.waiting.wait()
    with pytest.raises(SessionNotFound):
        await store.read(sessions.get, new, "ann")
    with pytest.raises(SessionExists):  # a repeat, while the first attempt is under way
        await ferry.forking.fork("ann", talk.id, new_session_id=new)
    assert await store.read(chores.due, "erase", "wrk_other", 100) == []  # that first attempt is left alone
    store.released.set()
    assert (await forking).id == new
    assert await texts(store, new) == ["A", "a"]
    assert await store.read(_sessions) == before + 1
    assert await store.read(chores.due, "erase", "wrk_other", 100) == []


async def test_a_fork_that_breaks_off_is_erased(store: FaultyStore, ferry: Ferry) -> None:
    talk = await Conversation.begin(store)
    await talk.answer("a", "A")
    new = new_id("ses")
    store.broken.add("give")
    with pytest.raises(Exception, match="store"):
        await ferry.forking.fork("ann", talk.id, new_session_id=new)
    await ferry.tasks.settle(5)
    assert await store.read(chores.due, "erase", "wrk_other", 100) == [new]


async def test_what_a_dead_worker_left_of_a_fork_is_erased_for_the_next_try(store: FaultyStore, ferry: Ferry) -> None:
    talk = await Conversation.begin(store)
    await talk.answer("a", "A")
    new = new_id("ses")
    laid = msgspec.structs.replace(await store.read(sessions.get, talk.id, "ann"), id=new)
    await store.write(importing.begin, laid, "wrk_dead")
    with pytest.raises(SessionExists):
        await ferry.forking.fork("ann", talk.id, new_session_id=new)
    assert await store.read(chores.due, "erase", "wrk_other", 100) == [new]


async def test_of_a_session_that_is_deleted_meanwhile_no_fork_is_made(store: FaultyStore, ferry: Ferry) -> None:
    talk = await Conversation.begin(store)
    await talk.answer("a", "A")
    store.held.add("read_messages")
    store.waiting.clear()  # what was said has come by, too
    forking = asyncio.create_task(ferry.forking.fork("ann", talk.id))
    await store.waiting.wait()
    await store.write(erasing.remove, talk.id, "ann", meter)
    store.released.set()
    before = await store.read(_sessions)
    with pytest.raises(SessionNotFound):
        await forking
    assert await store.read(_sessions) == before


async def test_a_long_fork_is_written_in_slices(store: FaultyStore, ferry: Ferry) -> None:
    session_id = (await ferry.into(long_session(40), owner="ann")).imported[0].id
    assert session_id is not None
    written: list[int] = []
    write = store.write

    async def counted(change: Any, /, *args: Any, **kwargs: Any) -> Any:
        if change is importing.add:
            written.append(len(args[2]))
        return await write(change, *args, **kwargs)

    store.write = counted  # type: ignore[method-assign]
    fork = await ferry.forking.fork("ann", session_id)
    assert len(written) > 1
    assert sum(written) == 40
    assert await texts(store, fork.id) == await texts(store, session_id)
    await ferry.agrees(fork.id, "ann")


@pytest.mark.promise("S-04")
async def test_where_there_is_one_current_session_it_is_the_fork(store: FaultyStore) -> None:
    async with working(store, AgentSpec(id="demo", name="Demo", run=silent, single_current=True)) as worker:
        talk = await Conversation.begin(store)
        await talk.answer("a", "A")
        fork = await worker.engine.forking.fork("ann", talk.id)
        assert (await worker.engine.get_session("ann", talk.id)).read_only
        assert (await worker.engine.current_session("ann")).session.id == fork.id
