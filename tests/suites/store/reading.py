"""Reading: state and cursor of one instant, pages, turns, rows."""

import asyncio

import pytest

from legato.core.events import StatusUpdate, Token
from legato.store import journal, messages, sessions, snapshots
from legato.store.health import examine
from legato.store.port import Store
from tests.support.conversation import Conversation, text_of


class Reading:
    @pytest.mark.promise("E-01")
    async def test_a_snapshot_has_the_newest_messages_and_says_whether_there_are_more(
        self, store: Store, conversation: Conversation
    ) -> None:
        for n in range(3):
            await conversation.answer(f"answer {n}", f"question {n}")
        await conversation.send("waits")

        state, head = await store.read(snapshots.snapshot, conversation.id, "ann", 3)
        assert [text_of(message) for message in state.messages] == ["answer 1", "question 2", "answer 2", "waits"]
        assert state.has_more
        assert head == (await conversation.events())[-1][0]

        whole, _ = await store.read(snapshots.snapshot, conversation.id, "ann", 6)
        assert (len(whole.messages), whole.has_more) == (7, False)

    @pytest.mark.promise("E-01", "E-06")
    async def test_a_snapshot_of_a_running_turn_has_what_was_said_so_far(self, conversation: Conversation) -> None:
        turn = (await conversation.start()).turn
        await conversation.say("so far")
        await conversation.tell(StatusUpdate(turn.id, "executing", "looking"))

        state = await conversation.state()

        assert text_of(state.messages[-1]) == "so far"
        assert (state.turns[0].phase, state.turns[0].detail) == ("executing", "looking")
        assert await conversation.store.read(snapshots.turn, conversation.id, "ann", turn.id) == state.turns[0]
        page, _ = await conversation.store.read(snapshots.history, conversation.id, "ann", 5, None)
        assert page == list(state.messages)

    async def test_a_snapshot_and_the_journal_are_of_one_instant(
        self, store: Store, conversation: Conversation
    ) -> None:
        """Whoever takes a snapshot while a turn speaks finds exactly what its cursor says."""
        await conversation.start()
        speaking = asyncio.create_task(self._speak(conversation))
        seen = []
        while not speaking.done():
            seen.append(await store.read(snapshots.snapshot, conversation.id, "ann", 10))
        await speaking

        for state, head in seen:
            told = [event for seq, event in await conversation.events() if seq <= head]
            said = "".join(event.text for event in told if isinstance(event, Token))
            assert text_of(state.messages[-1]) == said

    @staticmethod
    async def _speak(conversation: Conversation) -> None:
        for n in range(10):
            await conversation.say(f"{n} ")

    async def test_where_a_turn_ended(self, conversation: Conversation) -> None:
        turn = (await conversation.start()).turn
        assert await conversation.store.read(snapshots.done_seq, conversation.id, "ann", turn.id) is None

        await conversation.finish()
        done_seq = await conversation.store.read(snapshots.done_seq, conversation.id, "ann", turn.id)
        assert done_seq == (await conversation.moment())[1]

    async def test_history_pages_of_any_size_make_the_whole(self, store: Store, conversation: Conversation) -> None:
        for n in range(3):
            await conversation.answer(f"answer {n}", f"question {n}")
        whole = await conversation.texts()
        for limit in range(1, 8):
            found: list[str] = []
            cursor: str | None = None
            while True:
                page, cursor = await store.read(snapshots.history, conversation.id, "ann", limit, cursor)
                found = [text_of(message) for message in page] + found
                if cursor is None:
                    break
            assert found == whole

    async def test_the_history_of_an_empty_session_is_empty(self, store: Store, conversation: Conversation) -> None:
        assert await store.read(snapshots.history, conversation.id, "ann", 5, None) == ([], None)
        assert await store.read(messages.branch, None, 0) == []

    @pytest.mark.promise("E-03")
    async def test_rows_are_read_from_any_seq_in_pieces_of_any_size(self, conversation: Conversation) -> None:
        await conversation.answer("Hi")
        await conversation.start()
        await conversation.tell(*[conversation.token(f"{n}") for n in range(5)])
        whole = await conversation.rows()
        head = whole[-1].last_seq

        for after in range(head + 3):
            assert await conversation.rows(after) == [row for row in whole if row.last_seq > after]
            events = await conversation.events(after)
            assert [seq for seq, _ in events] == list(range(after + 1, head + 1))
        piecemeal, reached = [], 0
        while rows := await conversation.rows(reached, limit_bytes=1):
            assert len(rows) == 1
            piecemeal += rows
            reached = rows[-1].last_seq
        assert piecemeal == whole

    async def test_heads(self, store: Store, conversation: Conversation) -> None:
        other = await Conversation.begin(store, "bob")
        await conversation.answer()
        head = (await conversation.moment())[1]

        assert await store.read(journal.heads, [conversation.id, other.id, "ses_none"]) == {
            conversation.id: head,
            other.id: 1,
        }

    @pytest.mark.promise("E-06")
    async def test_what_was_written_is_read(self, store: Store) -> None:
        """Read your writes: a write that has returned is in every later read (guarantee G9)."""

        async def write_and_read(number: int) -> None:
            told = await Conversation.begin(store, f"owner {number}")
            for n in range(3):
                await told.change(title=f"{n}")
                assert (await store.read(sessions.get, told.id, told.owner)).title == f"{n}"

        await asyncio.gather(*[write_and_read(number) for number in range(6)])

    async def test_a_healthy_store_says_so(self, store: Store, conversation: Conversation) -> None:
        await conversation.start()
        await conversation.say("Hi")

        health = await store.read(examine)

        assert (len(health.sessions), health.orphans) == (1, 1)
        assert health.engine.split()[0] in ("SQLite", "PostgreSQL")
        assert health.revision
