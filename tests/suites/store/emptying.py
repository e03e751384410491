"""Clear and rollback: what was said goes from the history and from the journal, byte by byte."""

import itertools

import pytest
from sqlalchemy import Connection, Table, func, select

from legato.core.errors import BadCursor, MessageNotFound
from legato.core.events import Done, MessageEvent, Snapshot, StatusUpdate
from legato.core.memory import Fact
from legato.core.model import State
from legato.engine.searching import find
from legato.store import chores, clearing, exporting, journal, memories, schema, sessions, snapshots
from legato.store.port import Store
from tests.support.conversation import Conversation

SECRET = "Rumpelstilzchen"


async def remains(conversation: Conversation, *words: str) -> list[str]:
    """Which of these words still stand in the session's journal."""
    payload = b"".join(row.payload for row in await conversation.rows())
    return [word for word in words if word.encode() in payload]


class Emptying:
    @pytest.mark.promise("S-08")
    async def test_clear_empties_a_session_and_keeps_it(self, conversation: Conversation) -> None:
        await conversation.change(title="Kept")
        await conversation.answer(f"I am {SECRET}", "Who?")
        running = (await conversation.start("And you?")).turn
        await conversation.say("Still me")
        waiting = (await conversation.send("Well?")).turn
        cleared = await conversation.clear()
        state = await conversation.state()

        assert cleared.turn_ids == (running.id, waiting.id)
        assert (state.messages, state.leaf_id, state.session.title) == ((), None, "Kept")
        assert await remains(conversation, SECRET, "Who?", "And you?", "Still me", "Well?") == []
        assert await conversation.say("late") is None

    @pytest.mark.promise("S-08")
    async def test_a_cleared_journal_holds_tombstones_and_the_endings(self, conversation: Conversation) -> None:
        await conversation.start(SECRET)
        head = (await conversation.moment())[1]
        await conversation.clear()
        events = await conversation.events()

        assert events[0][0] == head + 1
        done = next(event for _, event in events if isinstance(event, Done))
        assert (done.status, done.reason) == ("cancelled", "cleared")
        state = await conversation.state()
        assert events[-1][1] == Snapshot(state=State(session=state.session, turns=state.turns))

    @pytest.mark.promise("S-08")
    async def test_an_empty_session_can_be_cleared_and_used_again(self, conversation: Conversation) -> None:
        await conversation.clear()
        await conversation.clear()
        await conversation.answer("Hi")

        assert await conversation.texts() == ["Hello", "Hi"]

    @pytest.mark.promise("S-08", "R-02")
    async def test_after_a_clear_a_repeated_message_is_still_the_same_turn(self, conversation: Conversation) -> None:
        turn = (await conversation.send(SECRET, client_message_id="once")).turn
        await conversation.clear()

        again = await conversation.send(SECRET, client_message_id="once")
        assert (again.turn.id, again.turn.status, again.fresh) == (turn.id, "cancelled", False)
        assert await conversation.texts() == []

    @pytest.mark.promise("R-03", "E-01")
    async def test_rollback_of_a_turn_that_was_steered_before_it_said_anything(
        self, conversation: Conversation
    ) -> None:
        """Whoever saw its first, empty answer is told that this one is gone, too."""
        await conversation.answer("stays", "first")
        await conversation.start("second")
        for direction in ("left", "right"):
            await conversation.send(direction, mode="steer")
            await conversation.steer()
        await conversation.send("third", mode="rollback")
        assert await conversation.texts() == ["first", "stays", "third"]
        await conversation.agree()

    @pytest.mark.promise("R-03", "R-04")
    async def test_rollback_takes_the_running_turn_out_of_the_history(self, conversation: Conversation) -> None:
        await conversation.answer("stays", "first")
        running = (await conversation.start("second")).turn
        await conversation.say(f"I am {SECRET}")
        accepted = await conversation.send("third", mode="rollback")

        assert accepted.ended_turn_id == running.id
        assert await conversation.texts() == ["first", "stays", "third"]
        assert await remains(conversation, SECRET, "second") == []
        assert await conversation.say("late") is None
        claimed = await conversation.claimed()
        assert claimed.message.parent_id == (await conversation.state()).messages[1].id

    @pytest.mark.promise("R-03")
    async def test_rollback_tells_which_messages_left(self, conversation: Conversation) -> None:
        running = (await conversation.start()).turn
        await conversation.say("so far")
        head = (await conversation.moment())[1]
        await conversation.send("rather", mode="rollback")
        removed = [
            event.message_id
            for _, event in await conversation.events(head)
            if isinstance(event, MessageEvent) and event.op == "removed"
        ]

        assert removed == [running.answer_id, running.message_id]
        turn = next(turn for turn in (await conversation.state()).turns if turn.id == running.id)
        assert (turn.status, turn.reason) == ("cancelled", "rolled_back")

    @pytest.mark.promise("R-03")
    async def test_rollback_takes_back_what_the_turn_was_steered_with(self, conversation: Conversation) -> None:
        await conversation.answer("stays", "first")
        await conversation.start("second")
        await conversation.say("before")
        await conversation.send(f"look for {SECRET}", mode="steer")
        await conversation.steer()
        await conversation.say("after")
        await conversation.send("third", mode="rollback")

        assert await conversation.texts() == ["first", "stays", "third"]
        assert await remains(conversation, SECRET, "second", "before", "after") == []

    async def test_what_was_told_about_a_turn_that_was_taken_back_is_not_told_again(
        self, conversation: Conversation
    ) -> None:
        """A phase's detail is what the agent says, too."""
        turn = (await conversation.start()).turn
        await conversation.tell(StatusUpdate(turn.id, "executing", SECRET))
        await conversation.send("rather", mode="rollback")

        assert await remains(conversation, SECRET) == []

    async def test_nobody_elses_journal_is_touched(self, store: Store, conversation: Conversation) -> None:
        other = await Conversation.begin(store)
        await other.answer(SECRET)
        before = await store.read(journal.read_rows, other.id, 0)
        await conversation.start()
        await conversation.send("rather", mode="rollback")
        await conversation.clear()

        assert await store.read(journal.read_rows, other.id, 0) == before

    @pytest.mark.promise("S-08", "S-14")
    async def test_a_cleared_session_is_empty_on_every_path_before_anything_is_taken_away(
        self, store: Store, conversation: Conversation
    ) -> None:
        """It takes as long as the session is; nobody waits for that, and nobody sees it."""
        turns = [await conversation.answer(f"I am {SECRET}", f"Who is {SECRET} {number}?") for number in range(3)]
        await conversation.emptied()
        assert await messages_of(store, conversation.id) == 6

        assert await remains(conversation, SECRET, "Who") == []
        assert (await find(store, "ann", SECRET)).data == ()
        assert (await store.read(sessions.stats, conversation.id, "ann")).message_count == 0
        assert (await store.read(exporting.instant, conversation.id, "ann")).message_ids == ()
        with pytest.raises(BadCursor):
            await store.read(snapshots.history, conversation.id, "ann", 10, turns[-1].message_id)
        with pytest.raises(MessageNotFound):
            await conversation.again("retry", turns[-1])
        await store.write(memories.keep, conversation.id, [Fact("likes", SECRET, turns[-1].message_id)], None)
        assert (await store.read(memories.page, "ann")).data == ()
        for turn in turns:
            assert await conversation.compact(turn.id)
        await conversation.agree()

    @pytest.mark.promise("S-08")
    async def test_what_was_cleared_is_taken_away_in_slices_and_what_was_said_since_stays(
        self, store: Store, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(clearing, "_MESSAGES", 4)
        monkeypatch.setattr(clearing, "_ROWS", 3)
        turns = [await conversation.answer(SECRET, f"{SECRET} {number}") for number in range(5)]
        await conversation.emptied()
        await conversation.answer("Hi", "Since")
        running = await conversation.start("Now")
        left: list[tuple[int, int]] = []
        while not await store.write(clearing.remove, conversation.id):
            left.append((await messages_of(store, conversation.id), await rows_of(store, conversation.id)))
            assert await conversation.compact(turns[len(left) % 5].id)
            await conversation.agree()
        assert [count for count, _ in left][:3] == [10, 6, 4], "4 a time, and then those that stay"
        rows = [count for _, count in left][2:]
        assert all(before - after <= 3 for before, after in itertools.pairwise(rows))
        assert await conversation.texts() == ["Since", "Hi", "Now", ""]
        assert await remains(conversation, SECRET) == []
        assert await store.read(chores.due, "clear", "wrk_1", 10) == []
        await conversation.say("Still here")
        assert running.turn.id == (await conversation.finish()).turn.id  # type: ignore[union-attr]
        assert await conversation.texts() == ["Since", "Hi", "Now", "Still here"]
        assert SECRET not in str(await store.read(raw_of, conversation.id))


async def messages_of(store: Store, session_id: str) -> int:
    return await store.read(_count, schema.messages, session_id)


async def rows_of(store: Store, session_id: str) -> int:
    return await store.read(_count, schema.journal, session_id)


def _count(conn: Connection, table: Table, session_id: str) -> int:
    here = select(func.count()).select_from(table).where(table.c.session_id == session_id)
    return conn.execute(here).scalar_one()


def raw_of(conn: Connection, session_id: str) -> list[object]:
    """All that stands in the tables, whatever is told of it."""
    tables = (schema.messages, schema.journal)
    return [
        tuple(row) for table in tables for row in conn.execute(select(table).where(table.c.session_id == session_id))
    ]
