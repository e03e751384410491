"""What was removed leaves the index of the search, in slices and beside those who talk."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Connection, func, select

from legato import Legato
from legato.core.model import Message, TextPart
from legato.engine.tidying import Tidying
from legato.store import messages, schema, search
from legato.store.rows import to_time
from tests.engine.wiring import FaultyStore, opened
from tests.support.conversation import Conversation, new_session
from tests.support.search_index import check_index

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S-08", "S-14")]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def store(url: str) -> AsyncIterator[FaultyStore]:
    async with opened(url) as store:
        yield store


def _entries(conn: Connection) -> int:
    return conn.execute(select(func.count()).select_from(schema.search_entries)).scalar_one()


async def test_a_step_takes_out_all_that_was_removed_and_nothing_else(store: FaultyStore) -> None:
    cleared, kept = await Conversation.begin(store), await Conversation.begin(store, title="A title")
    for number in range(12):
        await cleared.answer(" ".join(f"word{number}x{at}" for at in range(50)))
    await kept.answer("A pier")
    await cleared.clear()
    assert await store.read(_entries) == 12 * 2 + 3
    assert await store.read(search.is_untidy)

    await Tidying(store=store, rest_s=0).step()

    assert await store.read(_entries) == 3
    assert not await store.read(search.is_untidy)
    await check_index(store, kept.id)
    await check_index(store, cleared.id)


async def test_no_slice_is_long(sqlite: str) -> None:
    """Counted in what is taken out, not in time: at most 250 terms, however many messages or words they are of."""
    async with opened(sqlite) as store:
        conversation = await Conversation.begin(store)
        await conversation.answer(" ".join(f"long{at}" for at in range(1_000)), "short one")
        for number in range(10):
            await conversation.answer(" ".join(f"word{number}x{at}" for at in range(100)), "question")
        await conversation.clear()
        slices = 0
        while not await store.write(search.clean):
            slices += 1
    terms = 1_000 + 2 + 10 * (100 + 1)
    assert terms / 250 <= slices <= terms / 250 + 2


async def test_a_started_legato_tidies(url: str) -> None:
    """Whatever an earlier process left is taken out by the next one, at once."""
    async with opened(url) as store:
        await store.write(_leave, (await new_session(store)).session.id)
        assert await store.read(_entries) == 1
    chat = Legato(url, environment={})
    async with chat.lifespan():
        looks = 0
        while await chat.engine.store.read(search.is_untidy):
            looks += 1
            assert looks < 10_000
        assert await chat.engine.store.read(_entries) == 0


def _leave(conn: Connection, session_id: str) -> None:
    message = Message(
        id="msg_1",
        session_id=session_id,
        turn_id="trn_1",
        role="user",
        status="completed",
        created_at=to_time(1),
        parts=(TextPart("harbour"),),
    )
    messages.put(conn, message)
    messages.remove(conn, [message.id])
