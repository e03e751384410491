"""Clearing a session: when it has returned nothing is left, and who dies on the way leaves the rest to a chore (S-08, G12)."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Connection, func, select, update

from legato.core.errors import Unavailable
from legato.engine.clearing import Clearing
from legato.store import schema
from tests.engine.wiring import FaultyStore, opened, working
from tests.support.conversation import Conversation

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S-08")]

SECRET = "Rumpelstilzchen"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def store(url: str) -> AsyncIterator[FaultyStore]:
    async with opened(url) as store:
        yield store


def words(conn: Connection) -> int:
    """How many rows hold the secret."""
    said = select(func.count()).select_from(schema.messages).where(schema.messages.c.parts.contains(SECRET))
    told = [bytes(payload) for payload in conn.execute(select(schema.journal.c.payload)).scalars()]
    return int(conn.execute(said).scalar_one()) + sum(SECRET.encode() in payload for payload in told)


def soon(conn: Connection) -> None:
    conn.execute(update(schema.chores).values(due_at=0))


async def test_when_it_returns_nothing_is_left(store: FaultyStore) -> None:
    conversation = await Conversation.begin(store)
    await conversation.answer(SECRET, SECRET)
    async with working(store) as wired:
        assert await store.read(words) > 0
        await wired.engine.clear("ann", conversation.id)
        assert await store.read(words) == 0
    await conversation.agree()


async def test_who_dies_on_the_way_leaves_the_rest_to_a_chore(store: FaultyStore) -> None:
    conversation = await Conversation.begin(store)
    await conversation.answer(SECRET, SECRET)
    clearing = Clearing(store=store)
    async with working(store, duties=(clearing.duty,)) as wired:
        store.broken = {"remove"}
        with pytest.raises(Unavailable):
            await wired.engine.clear("ann", conversation.id)
        store.broken = set()
        assert await conversation.texts() == []
        assert await store.read(words) > 0
        await wired.chores.step()
        await wired.tasks.settle(5)
        assert await store.read(words) > 0, "who clears has his time"
        await store.write(soon)
        await wired.chores.step()
        await wired.tasks.settle(5)
    assert await store.read(words) == 0
    await conversation.agree()
