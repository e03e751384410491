"""Quarantine: what happens to a session of which something is damaged, and what does not (promise X-06)."""

import pytest
from sqlalchemy import Connection, update

from legato.core.errors import Corrupted, SessionNotFound, SessionQuarantined
from legato.core.model import CrashPolicy, TextPart
from legato.store import (
    accepting,
    branching,
    compaction,
    damaged,
    erasing,
    exporting,
    forking,
    legible,
    pinning,
    quarantine,
    rescuing,
    retention,
    schema,
    snapshots,
    summaries,
    titles,
    trimming,
    workers,
)
from legato.store.ending import Ended
from legato.store.port import Store
from legato.store.ticks import this_boot
from tests.suites.store.damage import flip
from tests.support.conversation import Conversation, claimant, meter, text_of

DAY_US = 86_400_000_000


async def set_apart(told: Conversation) -> None:
    marked = await told.store.write(quarantine.mark, told.id, "message")
    await told.took(marked.rows)


class Quarantining:
    @pytest.mark.promise("X-06", "S-15", "C-03")
    async def test_its_branches_are_read_and_nothing_of_it_is_moved(self, store: Store) -> None:
        conversation = await Conversation.begin(store)
        first = await conversation.answer("one", "question")
        await conversation.edited(first.message_id, "rather", "two")
        await set_apart(conversation)
        await store.write(_lengthen, first.answer_id or "")
        asked = conversation.id, conversation.owner
        with pytest.raises(Corrupted):
            await store.read(branching.history, *asked, 10, None, first.message_id)
        page = await store.read(branching.history, *asked, 10, None, first.message_id, damaged.history)
        assert [text_of(message) for message in page.messages] == ["question", ""]
        assert page.messages[1].error == legible.DAMAGED

        for refused in (
            store.read(branching.plan, *asked, first.message_id),
            store.read(forking.source, *asked, None),
            store.write(pinning.pin, *asked, first.message_id, pinned=True),
        ):
            with pytest.raises(SessionQuarantined):
                await refused
        leaf_id = (await store.read(branching.history, *asked, 1)).leaf_id
        assert not await store.write(summaries.keep, conversation.id, leaf_id or "", 2, "too late")

    @pytest.mark.promise("X-06")
    async def test_it_is_marked_once_and_everybody_is_told(self, store: Store, conversation: Conversation) -> None:
        await conversation.answer()
        await set_apart(conversation)
        again = await store.write(quarantine.mark, conversation.id, "journal")

        assert (await conversation.state()).session.quarantined
        assert again.rows == ()
        assert await store.read(quarantine.reason, conversation.id) == "message"

    @pytest.mark.promise("X-06")
    async def test_it_takes_no_new_turns_and_remembers_those_that_it_took(
        self, store: Store, conversation: Conversation
    ) -> None:
        sent = conversation.ask("Hello", client_message_id="first")
        first = await store.write(accepting.accept, sent, meter)
        await conversation.took(first.rows)
        await conversation.claimed()
        await conversation.finish()
        await set_apart(conversation)

        with pytest.raises(SessionQuarantined):
            await conversation.send("And then?")
        assert (await store.write(accepting.accept, sent, meter)).turn.id == first.turn.id

    @pytest.mark.promise("X-06", "R-05")
    async def test_a_running_turn_ends_as_ever_and_those_that_wait_end_with_a_reason(
        self, store: Store, conversation: Conversation
    ) -> None:
        await store.write(workers.register, "wrk_1")
        await conversation.start("runs")
        waiting = [(await conversation.send(text)).turn for text in ("waits", "waits, too")]
        await set_apart(conversation)
        await conversation.say("to its end")
        ended = await conversation.finish()
        assert ended is not None
        assert ended.turn.status == "completed"
        for turn in waiting:
            done = await store.write(workers.claim, conversation.id, claimant(), meter)
            assert isinstance(done, Ended)
            await conversation.took(done.rows)
            assert (done.turn.id, done.turn.status, done.turn.reason) == (turn.id, "cancelled", "session_quarantined")
        assert await store.write(workers.claim, conversation.id, claimant(), meter) is None

    @pytest.mark.promise("X-06", "R-07")
    @pytest.mark.parametrize("on_crash", ["incomplete", "restart", "continue"])
    async def test_what_a_running_turn_has_said_stays_whatever_becomes_of_its_process(
        self, store: Store, conversation: Conversation, on_crash: CrashPolicy
    ) -> None:
        await conversation.send("runs")
        running = await conversation.claim(on_crash={"demo": on_crash})
        assert running is not None
        await conversation.say("what was said")
        await set_apart(conversation)

        assert await store.write(rescuing.park, conversation.id, running.turn.id, running.epoch) is None
        rescued = await conversation.rescue(running.turn.id)

        assert rescued is not None
        assert rescued.turn.status == "incomplete"
        assert await conversation.texts() == ["runs", "what was said"]

    @pytest.mark.promise("X-06", "S-06", "S-10", "E-03")
    async def test_no_rule_removes_any_of_it(self, store: Store, conversation: Conversation) -> None:
        turns = [await conversation.answer() for _ in range(3)]
        await set_apart(conversation)
        before = await conversation.rows()
        boot, ages = this_boot(), {"demo": -DAY_US}
        assert await store.read(retention.overdue, ages, 10) == []
        pruned = await store.write(retention.prune, conversation.id, ages, boot, 0, meter, vouched=True)
        assert pruned is None
        assert (await store.read(trimming.plan, conversation.id, 1)).slices == ()
        assert await store.read(compaction.compactable, 1 << 60, 10) == []
        assert await store.write(compaction.compact, conversation.id, turns[0].id)
        assert await store.read(titles.untitled, conversation.id) is None

        assert await conversation.rows() == before
        assert len(await conversation.texts()) == 6

    @pytest.mark.promise("X-06")
    async def test_a_cut_that_was_planned_before_changes_nothing(
        self, store: Store, conversation: Conversation
    ) -> None:
        for _ in range(3):
            await conversation.answer()
        plan = await store.read(trimming.plan, conversation.id, 1)
        await set_apart(conversation)

        assert (await store.write(trimming.cut, conversation.id, plan.epoch, plan.slices[0])).rows == ()

    @pytest.mark.promise("X-06")
    async def test_its_owner_may_clear_it_and_then_nothing_of_it_is_damaged(
        self, store: Store, conversation: Conversation
    ) -> None:
        await conversation.answer()
        await set_apart(conversation)
        await conversation.clear()

        assert not (await conversation.state()).session.quarantined
        assert await store.read(quarantine.reason, conversation.id) is None
        await conversation.answer("goes on")

    @pytest.mark.promise("X-06")
    async def test_its_owner_may_delete_it(self, store: Store) -> None:
        told = await Conversation.begin(store)
        await told.answer()
        await set_apart(told)
        await store.write(erasing.remove, told.id, "ann", meter)

        with pytest.raises(SessionNotFound):
            await told.state()
        with pytest.raises(SessionNotFound):
            await store.write(quarantine.mark, told.id, "message")

    @pytest.mark.promise("X-06")
    @pytest.mark.parametrize("no_text", [False, True])
    async def test_what_is_whole_can_be_read(self, store: Store, no_text: bool) -> None:
        told = await Conversation.begin(store)
        await told.answer("what was said", "Well?")
        await store.write(_spoil if no_text and not store.shared else flip_message, told.id)

        state, head = await store.read(damaged.snapshot, told.id, "ann", 100)
        page, older = await store.read(damaged.history, told.id, "ann", 1, None)
        rest, _ = await store.read(damaged.history, told.id, "ann", 1, older)
        written = await store.read(exporting.read_messages, [message.id for message in state.messages])

        assert head == (await told.rows())[-1].last_seq
        for shown in (list(state.messages), [*rest, *page], written):
            assert [text_of(message) for message in shown] == ["Well?", ""]
            assert [message.error for message in shown] == [None, legible.DAMAGED]
        assert [turn.status for turn in state.turns] == ["completed"]

    @pytest.mark.promise("X-06")
    async def test_a_running_turn_is_shown_up_to_the_damage(self, store: Store) -> None:
        told = await Conversation.begin(store)
        turn = (await told.start()).turn
        await told.say("what is whole, ")
        await told.say("what is not, ")
        await store.write(flip, "journal", told.id)

        state, _ = await store.read(damaged.snapshot, told.id, "ann", 100)
        shown = await store.read(damaged.turn, told.id, "ann", turn.id)
        page, _ = await store.read(damaged.history, told.id, "ann", 10, None)
        instant = await store.read(exporting.instant, told.id, "ann")

        assert text_of(state.messages[-1]) == text_of(page[-1]) == "what is whole, "
        assert instant.growing[told.answer_id].parts == (TextPart("what is whole, "),)
        assert shown.status == "in_progress"

    @pytest.mark.promise("X-06")
    async def test_where_nothing_is_damaged_it_reads_as_always(self, store: Store, conversation: Conversation) -> None:
        await conversation.answer("one", "two")
        await conversation.start("three")
        await conversation.say("four")
        await conversation.send("waits")
        for limit in (1, 3, 100):
            whole = await store.read(snapshots.snapshot, conversation.id, "ann", limit)
            assert await store.read(damaged.snapshot, conversation.id, "ann", limit) == whole
            page = await store.read(snapshots.history, conversation.id, "ann", limit, None)
            assert await store.read(damaged.history, conversation.id, "ann", limit, None) == page
        with pytest.raises(SessionNotFound):
            await store.read(damaged.snapshot, conversation.id, "eve", 10)
        with pytest.raises(SessionNotFound):
            await store.read(damaged.history, conversation.id, "eve", 10, None)


def _lengthen(conn: Connection, message_id: str) -> None:
    conn.execute(update(schema.messages).where(schema.messages.c.id == message_id).values(parts="[] "))


def flip_message(conn: Connection, session_id: str) -> None:
    flip(conn, "messages", session_id)


def _spoil(conn: Connection, session_id: str) -> None:
    """One byte is no text any more; the driver of SQLite refuses the row."""
    conn.exec_driver_sql(
        "UPDATE messages SET parts = CAST(replace(CAST(parts AS BLOB), CAST('what' AS BLOB), x'776861f4') AS TEXT)"
        " WHERE session_id = ? AND role = 'assistant'",
        (session_id,),
    )
