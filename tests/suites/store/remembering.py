"""Memories: kept once, bounded, gone with what they came from, and nobody's but their owner's."""

import base64

import pytest
from sqlalchemy import Connection, delete, func, select, update

from legato.core.errors import BadCursor, MemoryNotFound, SessionNotFound
from legato.core.ids import new_id
from legato.core.memory import Fact, Memory, transcribe
from legato.core.model import Turn
from legato.engine.memory import forget_all
from legato.store import memories, schema, scrubbing
from legato.store.port import Store
from tests.support.conversation import Conversation, text_of

DAY_US = 86_400_000_000


async def told(conversation: Conversation, *texts: str, kind: str = "likes", question: str = "Hello") -> None:
    """Have these facts drawn from a new turn."""
    turn = await conversation.answer(question=question)
    await drawn(conversation, turn.message_id, *texts, kind=kind)


async def drawn(conversation: Conversation, message_id: str, *texts: str, kind: str = "likes") -> None:
    facts = [Fact(kind, text, message_id) for text in texts]
    await conversation.store.write(memories.keep, conversation.id, facts, message_id)


async def listed(store: Store, owner: str = "ann", **filters: str) -> list[Memory]:
    return list((await store.read(memories.page, owner, limit=200, **filters)).data)


async def texts(store: Store, owner: str = "ann", **filters: str) -> list[str]:
    return sorted(memory.text for memory in await listed(store, owner, **filters))


async def again(conversation: Conversation, turn: Turn) -> None:
    """Have it answered again, on a branch of its own."""
    await conversation.again("retry", turn)
    await conversation.claimed()
    await conversation.finish()


async def sources(conversation: Conversation) -> list[str]:
    """What facts would be drawn from now, oldest first."""
    found = await conversation.store.read(memories.material, conversation.id)
    assert found is not None
    told = transcribe(found.messages, ("likes",), found.known_id, found.since)
    chosen = [message for message in found.messages if message.id in told.sources.values()]
    return [text_of(message) for message in chosen]


async def given(conversation: Conversation, last: int = 5) -> list[str]:
    found = await conversation.store.read(
        memories.given, conversation.id, conversation.owner, conversation.agent_id, last
    )
    return sorted(memory.text for memory in found)


class Remembering:
    @pytest.mark.promise("T-02")
    async def test_a_fact_has_its_kind_and_its_source(self, conversation: Conversation) -> None:
        turn = await conversation.answer(question="I love Barolo")
        await drawn(conversation, turn.message_id, "Barolo")
        (memory,) = await listed(conversation.store)

        assert (memory.kind, memory.text, memory.agent_id) == ("likes", "Barolo", "demo")
        assert (memory.session_id, memory.message_id) == (conversation.id, turn.message_id)
        assert (memory.edited, memory.created_at) == (False, memory.changed_at)

    @pytest.mark.promise("T-02")
    async def test_what_is_said_again_is_one_fact_of_the_session_that_said_it_last(
        self, store: Store, conversation: Conversation
    ) -> None:
        await told(conversation, "Barolo", "tea")
        again = await Conversation.begin(store)
        await told(again, "barolo.", "tea ")
        found = await listed(store)

        assert sorted(memory.text for memory in found) == ["Barolo", "tea"]
        assert {memory.session_id for memory in found} == {again.id}
        assert all(memory.changed_at > memory.created_at for memory in found)
        await told(again, "Barolo", kind="dislikes")
        assert len(await listed(store)) == 3

    @pytest.mark.promise("T-04")
    async def test_a_draw_neither_overwrites_what_was_edited_nor_brings_back_what_was_forgotten(
        self, store: Store, conversation: Conversation
    ) -> None:
        await told(conversation, "Barolo", "tea")
        ids = {memory.text: memory.id for memory in await listed(store)}
        edited = await store.write(memories.edit, ids["Barolo"], "ann", "Barolo, but not on Mondays")
        await store.write(memories.forget, ids["tea"], "ann")
        await told(conversation, "Barolo", "Tea")

        assert (edited.id, edited.edited) == (ids["Barolo"], True)
        assert [(memory.id, memory.text) for memory in await listed(store)] == [(edited.id, edited.text)]

    @pytest.mark.promise("T-04")
    async def test_of_what_is_forgotten_no_word_is_left(self, store: Store, conversation: Conversation) -> None:
        await told(conversation, "Rumpelstilzchen")
        (memory,) = await listed(store)
        await store.write(memories.forget, memory.id, "ann")

        assert await store.read(_column, "text") == [""]
        assert await given(conversation) == await texts(store) == []
        with pytest.raises(MemoryNotFound):
            await store.write(memories.forget, memory.id, "ann")
        with pytest.raises(MemoryNotFound):
            await store.write(memories.edit, memory.id, "ann", "x")

    @pytest.mark.promise("T-04")
    @pytest.mark.parametrize("how", ["edited", "forgotten", "all forgotten"])
    async def test_its_bytes_are_to_leave_the_files_too(
        self, store: Store, conversation: Conversation, how: str
    ) -> None:
        await told(conversation, "Rumpelstilzchen")
        (memory,) = await listed(store)
        while (wish := await store.read(scrubbing.wanted)) is not None:
            await store.write(scrubbing.done, wish)
        match how:
            case "edited":
                await store.write(memories.edit, memory.id, "ann", "x")
            case "forgotten":
                await store.write(memories.forget, memory.id, "ann")
            case _:
                await store.write(memories.forget_some, "ann")
        assert (await store.read(scrubbing.wanted) is not None) == (not store.shared), "PostgreSQL has its vacuum"

    @pytest.mark.promise("T-04")
    async def test_everything_is_forgotten_or_what_one_agent_knows(
        self, store: Store, conversation: Conversation
    ) -> None:
        await told(conversation, "Barolo")
        other = await Conversation.begin(store, agent_id="clerk")
        await drawn_from_nothing(other, "tea")
        bob = await Conversation.begin(store, owner="bob")
        await told(bob, "rum")

        assert not await store.write(memories.forget_some, "ann", "clerk")
        assert await texts(store) == ["Barolo"]
        await told(conversation, "wine")
        assert await store.write(memories.forget_some, "ann", limit=1), "there is more"
        assert len(await texts(store)) == 1
        await forget_all(store, "ann")
        assert (await texts(store), await texts(store, "bob")) == ([], ["rum"])

    @pytest.mark.promise("T-04", "S-08")
    async def test_what_came_from_a_session_goes_when_it_is_cleared(
        self, store: Store, conversation: Conversation
    ) -> None:
        other = await Conversation.begin(store)
        await told(other, "tea")
        await told(conversation, "Barolo", "rum")
        (barolo,) = [memory for memory in await listed(store) if memory.text == "Barolo"]
        await store.write(memories.forget, barolo.id, "ann")
        await conversation.clear()

        assert await texts(store) == ["tea"]
        assert await store.read(_column, "session_id") == [other.id]

    @pytest.mark.promise("T-04", "S-07")
    async def test_what_came_from_a_session_goes_with_it(self, store: Store) -> None:
        gone, other = await Conversation.begin(store), await Conversation.begin(store)
        await told(gone, "Barolo")
        await told(other, "tea")
        await store.write(_delete, gone.id)

        assert await store.read(_column, "text") == ["tea"]

    @pytest.mark.promise("T-04", "S-07")
    async def test_what_came_from_a_session_that_is_nobodys_any_more_is_out_of_reach(
        self, store: Store, conversation: Conversation
    ) -> None:
        """So it is between the deletion of a session and the erasure of its content."""
        gone = await Conversation.begin(store)
        await told(gone, "Barolo")
        (memory,) = await listed(store)
        await store.write(_disown, gone.id)

        assert await texts(store) == await given(conversation) == []
        with pytest.raises(MemoryNotFound):
            await store.write(memories.edit, memory.id, "ann", "x")
        with pytest.raises(MemoryNotFound):
            await store.write(memories.forget, memory.id, "ann")
        with pytest.raises(SessionNotFound):
            await store.read(memories.material, gone.id)

    @pytest.mark.promise("T-04")
    async def test_nothing_is_kept_of_messages_that_are_gone(self, store: Store, conversation: Conversation) -> None:
        turn = await conversation.answer()
        await conversation.clear()
        await drawn(conversation, turn.message_id, "Barolo")
        assert await texts(store) == []

        again = await conversation.answer()
        foreign = await (await Conversation.begin(store)).answer()
        await drawn(conversation, foreign.message_id, "rum")
        await drawn(conversation, again.message_id, "tea")
        assert await texts(store) == ["tea"]

    @pytest.mark.promise("T-04")
    async def test_switched_off_as_a_whole_nothing_is_kept_or_given_and_nothing_is_lost(
        self, store: Store, conversation: Conversation
    ) -> None:
        await told(conversation, "Barolo")
        for _ in range(2):
            await store.write(memories.switch, "ann", on=False)
        assert not await store.read(memories.enabled, "ann")
        assert await store.read(memories.enabled, "bob")
        await told(conversation, "tea")
        assert (await texts(store), await given(conversation)) == (["Barolo"], [])
        await conversation.answer()
        found = await store.read(memories.material, conversation.id)
        assert found is not None
        assert found.messages == ()

        await store.write(memories.switch, "ann", on=True)
        assert await given(conversation) == ["Barolo"]
        found = await store.read(memories.material, conversation.id)
        assert found is not None
        assert [message.created_at < found.since for message in found.messages] == [True] * len(found.messages)
        await store.write(memories.switch, "ann", on=True)
        assert found == await store.read(memories.material, conversation.id)

    @pytest.mark.promise("T-04")
    async def test_of_a_session_that_is_switched_off_nothing_is_kept_or_given_elsewhere(
        self, store: Store, conversation: Conversation
    ) -> None:
        off = await Conversation.begin(store)
        await told(off, "Barolo")
        assert await given(conversation) == ["Barolo"]
        await off.change(memory=False)
        await told(off, "tea")
        await off.answer()
        assert (await texts(store), await given(conversation)) == (["Barolo"], [])
        await off.change(memory=True)
        assert await given(conversation) == ["Barolo"]
        assert await store.read(memories.material, off.id) is None, "what was said meanwhile stays unsaid"

    @pytest.mark.promise("T-04")
    async def test_what_was_said_while_it_was_off_is_no_source_on_another_branch_either(
        self, conversation: Conversation
    ) -> None:
        """Two answers are asked for again, the second one when it is on: its branch left the marked one in the time between."""
        first = await conversation.answer("Noted", "I love tea")
        await conversation.change(memory=False)
        second = await conversation.answer("Noted", "I love Barolo")
        await again(conversation, first)
        await conversation.change(memory=True)
        await again(conversation, second)
        await conversation.answer("Noted", "I love rum")
        assert await sources(conversation) == ["I love rum"]

    @pytest.mark.promise("T-02")
    async def test_what_was_drawn_from_before_is_no_source_on_another_branch(self, conversation: Conversation) -> None:
        await conversation.answer("Noted", "I love tea")
        answered = await conversation.answer("Noted", "I love Barolo")
        await conversation.store.write(memories.keep, conversation.id, (), answered.answer_id)
        await again(conversation, answered)
        await conversation.answer("Noted", "I love rum")
        assert await sources(conversation) == ["I love rum"]

    @pytest.mark.promise("T-02")
    async def test_only_what_the_last_sessions_said_is_given(self, store: Store, conversation: Conversation) -> None:
        earlier = [await Conversation.begin(store) for _ in range(4)]
        for number, one in enumerate(earlier):
            await told(one, f"wine {number}")
        await told(conversation, "here")

        assert await given(conversation, last=2) == ["here", "wine 2", "wine 3"]
        await earlier[0].answer("active again")
        assert await given(conversation, last=2) == ["here", "wine 0", "wine 3"]
        assert len(await texts(store)) == 5, "the others stay listed"

    @pytest.mark.promise("T-03")
    async def test_what_another_agent_or_owner_knows_is_not_given(
        self, store: Store, conversation: Conversation
    ) -> None:
        await drawn_from_nothing(await Conversation.begin(store, agent_id="clerk"), "tea")
        await told(await Conversation.begin(store, owner="bob"), "rum")

        assert await given(conversation) == []

    @pytest.mark.promise("T-02")
    async def test_the_oldest_go_when_there_are_too_many_but_not_what_a_person_wrote(
        self, store: Store, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(memories, "MOST_OF_SESSION", 3)
        monkeypatch.setattr(memories, "MOST_OF_AGENT", 5)
        await told(conversation, "wine 0")
        (first,) = await listed(store)
        await store.write(memories.edit, first.id, "ann", "mine")
        for number in range(1, 5):
            await told(conversation, f"wine {number}")
        assert await texts(store) == ["mine", "wine 3", "wine 4"]

        other = await Conversation.begin(store)
        for number in range(5, 8):
            await told(other, f"wine {number}")
        assert await texts(store) == ["mine", "wine 4", "wine 5", "wine 6", "wine 7"]
        for memory in await listed(store, session_id=other.id):
            await store.write(memories.forget, memory.id, "ann")
        for number in range(8, 12):
            await told(other, f"wine {number}")
        assert len(await store.read(_column, "id")) <= 10, "traces of what was forgotten are bounded, too"

    @pytest.mark.promise("S-16", "T-04")
    async def test_nobody_else_lists_edits_or_forgets_it(self, store: Store, conversation: Conversation) -> None:
        await told(conversation, "Barolo")
        (memory,) = await listed(store)

        assert await texts(store, "bob") == []
        for memory_id in (memory.id, new_id("mem"), "x\x00", ""):
            with pytest.raises(MemoryNotFound):
                await store.write(memories.edit, memory_id, "bob", "x")
            with pytest.raises(MemoryNotFound):
                await store.write(memories.forget, memory_id, "bob")
        await forget_all(store, "bob")
        assert await texts(store) == ["Barolo"]

    async def test_a_list_has_pages_and_filters(self, store: Store, conversation: Conversation) -> None:
        for number in range(5):
            await told(conversation, f"wine {number}")
        await told(conversation, "rain", kind="dislikes")
        await drawn_from_nothing(other := await Conversation.begin(store, agent_id="clerk"), "tea")

        seen: list[str] = []
        cursor: str | None = None
        while True:
            page = await store.read(memories.page, "ann", agent_id="demo", limit=2, cursor=cursor)
            seen += [memory.text for memory in page.data]
            if page.next is None:
                break
            cursor = page.next
        assert seen == ["rain", "wine 4", "wine 3", "wine 2", "wine 1", "wine 0"]
        assert await texts(store, kind="dislikes") == ["rain"]
        assert await texts(store, agent_id="clerk") == await texts(store, session_id=other.id) == ["tea"]
        assert await texts(store, agent_id="nobody\x00") == []

    @pytest.mark.parametrize("cursor", ["", "x", "é", base64.urlsafe_b64encode(b"1.ses_0").decode()])
    async def test_a_foreign_cursor_is_refused(self, store: Store, cursor: str) -> None:
        with pytest.raises(BadCursor):
            await store.read(memories.page, "ann", cursor=cursor)

    @pytest.mark.promise("T-02")
    async def test_a_session_is_ripe_when_it_is_closed_or_silent_and_nothing_runs(
        self, store: Store, conversation: Conversation
    ) -> None:
        await conversation.start()
        assert await store.read(memories.wait_s, conversation.id, DAY_US) == 86_400
        await conversation.say("Hi")
        await conversation.finish()
        waits_s = await store.read(memories.wait_s, conversation.id, DAY_US)
        assert 86_000 < waits_s <= 86_400
        assert await store.read(memories.wait_s, conversation.id, 0) == 0
        await conversation.change(closed=True)
        assert await store.read(memories.wait_s, conversation.id, DAY_US) == 0

    @pytest.mark.promise("T-02")
    async def test_nothing_is_drawn_twice_from_the_same_messages(
        self, store: Store, conversation: Conversation
    ) -> None:
        assert await store.read(memories.material, conversation.id) is None
        turn = await conversation.answer("Hi", "I love Barolo")
        found = await store.read(memories.material, conversation.id)
        assert found is not None
        assert [message.id for message in found.messages] == [turn.message_id, turn.answer_id]
        assert (found.known_id, found.leaf_id) == (None, turn.answer_id)
        await store.write(memories.keep, conversation.id, (), found.leaf_id)
        assert await store.read(memories.material, conversation.id) is None
        await conversation.answer()
        again = await store.read(memories.material, conversation.id)
        assert again is not None
        assert (len(again.messages), again.known_id) == (4, turn.answer_id)


async def drawn_from_nothing(conversation: Conversation, text: str) -> None:
    """A fact of a session whose agent this suite's worker does not run: its message only waits."""
    turn = (await conversation.send()).turn
    await drawn(conversation, turn.message_id, text)


def _column(conn: Connection, name: str) -> list[str]:
    return list(conn.execute(select(schema.memories.c[name])).scalars())


def _delete(conn: Connection, session_id: str) -> None:
    conn.execute(delete(schema.sessions).where(schema.sessions.c.id == session_id))
    assert conn.execute(select(func.count()).select_from(schema.memories)).scalar_one()


def _disown(conn: Connection, session_id: str) -> None:
    conn.execute(update(schema.sessions).where(schema.sessions.c.id == session_id).values(owner="", former_owner="ann"))
