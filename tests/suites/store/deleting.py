"""Delete: nobody reaches the session any more, and then row by row it is gone (promise S-07)."""

from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select

from legato.core.errors import SessionNotFound
from legato.core.ids import new_id
from legato.store import (
    accepting,
    chores,
    claiming,
    compaction,
    ending,
    erasing,
    health,
    journal,
    rescuing,
    schema,
    sessions,
    snapshots,
    steering,
    turns,
    workers,
)
from legato.store.erasing import Gone, Slice
from legato.store.port import Batch, Store
from tests.support.conversation import Conversation, batch, claimant, meter, new_session

pytestmark = pytest.mark.promise("S-07")

SECRET = "Rumpelstilzchen"
HANGING = (
    schema.messages,
    schema.journal,
    schema.turns,
    schema.sends,
    schema.memories,
    schema.chores,
    schema.files,
)


async def deleted(store: Store, session_id: str, owner: str = "ann") -> Gone:
    return await store.write(erasing.remove, session_id, owner, meter)


async def erased(store: Store, session_id: str, limit: int = 100) -> list[Slice]:
    """All slices of a session."""
    slices = [await store.write(erasing.erase, session_id, limit)]
    while not slices[-1].last:
        slices.append(await store.write(erasing.erase, session_id, limit))
    return slices


async def talked(store: Store, **fields: Any) -> Conversation:
    """A session of Ann's in which something of everything was said; a turn runs and another one waits."""
    usual: dict[str, Any] = {"title": SECRET, "context": SECRET, "metadata": {"of": SECRET}}
    conversation = await Conversation.begin(store, **(usual | fields))
    await conversation.answer(f"I am {SECRET}", f"{SECRET}?")
    await store.write(remember, conversation.id)
    await conversation.start(f"Not {SECRET}")
    await conversation.say(f"Yes, {SECRET}")
    await conversation.send(f"And {SECRET}?")
    return conversation


def remember(conn: Connection, session_id: str) -> None:
    """A fact that was drawn from a session."""
    facts = {"owner": "ann", "agent_id": "demo", "kind": "name", "text": SECRET, "digest": session_id}
    place = {"session_id": session_id, "message_id": new_id("msg"), "created_at": 1, "changed_at": 1}
    conn.execute(insert(schema.memories).values(id=new_id("mem"), edited=False, forgotten=False, **facts, **place))


def count(conn: Connection, session_id: str) -> dict[str, int]:
    """How many rows hang on a session."""
    counted = {}
    for table in HANGING:
        here = select(func.count()).select_from(table).where(table.c.session_id == session_id)
        counted[table.name] = conn.execute(here).scalar_one()
    return counted


def row_of(conn: Connection, session_id: str) -> Any:
    return conn.execute(select(schema.sessions).where(schema.sessions.c.id == session_id)).first()


def said_late(conversation: Conversation) -> Batch:
    assert conversation.running is not None
    return batch(conversation.running, 99, conversation.token("late"))


class Deleting:
    async def test_a_deleted_session_is_nobodys(self, store: Store) -> None:
        gone_one = await talked(store)
        stays = await Conversation.begin(store)
        gone = await deleted(store, gone_one.id)

        assert gone.owner == "ann"
        page = await store.read(sessions.page, "ann")
        assert ([session.id for session in page.data], page.running) == ([stays.id], ())
        for owner in ("ann", "bob", ""):
            for read in (sessions.get, sessions.stats):
                with pytest.raises(SessionNotFound):
                    await store.read(read, gone_one.id, owner)
            with pytest.raises(SessionNotFound):
                await store.read(snapshots.snapshot, gone_one.id, owner, 10)
            with pytest.raises(SessionNotFound):
                await store.read(snapshots.history, gone_one.id, owner, 10, None)
            with pytest.raises(SessionNotFound):
                await store.write(sessions.change, gone_one.id, owner, {"title": "Mine"})
            with pytest.raises(SessionNotFound):
                await store.write(ending.clear, gone_one.id, owner, meter)
            with pytest.raises(SessionNotFound):
                await store.write(erasing.remove, gone_one.id, owner, meter)
            with pytest.raises(SessionNotFound):
                await store.write(accepting.accept, gone_one.ask("late", owner=owner), meter)
        assert (await store.read(sessions.page, "")).data == ()
        assert await store.read(journal.heads, [gone_one.id, stays.id]) == {stays.id: 1}

    async def test_the_session_itself_says_nothing_any_more(self, store: Store) -> None:
        conversation = await talked(store)
        await deleted(store, conversation.id)
        row = await store.read(row_of, conversation.id)
        assert SECRET not in str(tuple(row))
        assert (row.owner, row.context, row.title, row.leaf_id) == ("", None, None, None)

    async def test_what_runs_and_what_waits_ends(self, store: Store) -> None:
        conversation = await talked(store)
        running, waiting = await store.read(turns.unfinished, conversation.id)
        gone = await deleted(store, conversation.id)

        assert gone.turn_ids == (running.id, waiting.id)
        assert await store.read(turns.unfinished, conversation.id) == []
        assert await store.append([said_late(conversation)]) == [None]
        assert conversation.running is not None
        how = ending.Ending(status="completed", reason="stop")
        with pytest.raises(SessionNotFound):
            await store.write(ending.finish, conversation.id, running.id, conversation.running.epoch, how, meter)
        with pytest.raises(SessionNotFound):
            await store.write(steering.steer, conversation.id, running.id, conversation.running.epoch)
        with pytest.raises(SessionNotFound):
            await store.write(rescuing.park, conversation.id, running.id, conversation.running.epoch)

    async def test_nobody_inside_takes_it_up(self, store: Store) -> None:
        conversation = await talked(store)
        await store.write(chores.ask, conversation.id, "title")
        await store.write(chores.ask, conversation.id, "memory")
        finished = (await conversation.state()).turns[0]
        await deleted(store, conversation.id)

        assert await store.read(claiming.claimable, claimant(), 10) == []
        with pytest.raises(SessionNotFound):
            await store.write(claiming.claim, conversation.id, claimant())
        assert await store.read(workers.orphans) == []
        assert await store.read(compaction.compactable, 1 << 62, 10) == []
        with pytest.raises(SessionNotFound):
            await store.write(compaction.compact, conversation.id, finished.id)
        for kind in ("title", "memory", "close", "trim"):
            assert await store.read(chores.due, kind, "wrk_1", 10) == []
        assert await store.read(chores.due, "erase", "wrk_1", 10) == [conversation.id]

    async def test_its_context_and_what_it_was_imported_from_are_free(self, store: Store) -> None:
        conversation = await talked(store, imported_from="elsewhere:1")
        await deleted(store, conversation.id)
        again = await new_session(store, context=SECRET, imported_from="elsewhere:1")
        assert again.session.id != conversation.id

    async def test_what_was_remembered_from_it_is_gone_at_once(self, store: Store) -> None:
        conversation = await talked(store)
        await deleted(store, conversation.id)
        assert (await store.read(count, conversation.id))["memories"] == 0

    async def test_a_session_is_deleted_once(self, store: Store) -> None:
        conversation = await talked(store)
        with pytest.raises(SessionNotFound):
            await deleted(store, conversation.id, owner="bob")
        assert (await conversation.state()).session.owner == "ann"
        await deleted(store, conversation.id)
        with pytest.raises(SessionNotFound):
            await deleted(store, conversation.id)

    @pytest.mark.parametrize("limit", [1, 3, 1000])
    async def test_it_is_erased_row_by_row(self, store: Store, limit: int) -> None:
        conversation, stays = await talked(store), await talked(store, context="other")
        await deleted(store, conversation.id)
        before = await store.read(count, stays.id)
        slices = await erased(store, conversation.id, limit)

        assert all(part.rows <= limit for part in slices)
        assert {name: left for name, left in (await store.read(count, conversation.id)).items() if left} == {
            "chores": 1
        }
        await store.write(erasing.forget, conversation.id)
        assert await store.read(row_of, conversation.id) is None
        assert sum((await store.read(count, conversation.id)).values()) == 0
        assert await store.read(count, stays.id) == before
        await stays.agree(erased=True)

    async def test_a_slice_is_bounded_by_what_it_takes_away(self, store: Store) -> None:
        conversation = await Conversation.begin(store)
        for _ in range(6):
            await conversation.answer("x" * (erasing.SLICE_BYTES // 2), "?")
        await deleted(store, conversation.id)
        assert max(part.rows for part in await erased(store, conversation.id, 1000)) < 30

    async def test_a_session_that_is_somebodys_is_not_forgotten(self, store: Store) -> None:
        conversation = await talked(store)
        await store.write(erasing.forget, conversation.id)
        await conversation.agree()

    async def test_half_of_a_session_is_no_damage(self, store: Store) -> None:
        conversation = await talked(store)
        await deleted(store, conversation.id)
        await store.write(erasing.erase, conversation.id, 2)
        assert (await store.read(health.examine)).sessions == ()

    async def test_whoever_is_told_learns_whose_it_was(self, store: Store) -> None:
        conversation = await talked(store)
        await deleted(store, conversation.id)
        assert await store.read(sessions.owners, [conversation.id]) == {conversation.id: ("ann", True)}
