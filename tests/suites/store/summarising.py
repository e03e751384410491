"""Summaries and pins: what a prompt holds besides the newest messages, on every branch and whatever is taken away."""

from collections.abc import Sequence

import msgspec
import pytest
from sqlalchemy import Connection, func, select, update

from legato.core.errors import (
    ContextOverflow,
    Invalid,
    MessageNotFound,
    SessionNotFound,
    SummaryNotFound,
    TurnNotFinished,
)
from legato.core.events import TurnEvent
from legato.core.ids import new_id
from legato.core.model import ContextInfo, Gauge, Message, Session, Summary, TextPart, Turn
from legato.core.prompt import Earlier
from legato.store import chores, exporting, pinning, schema, snapshots, summaries, trimming
from legato.store.port import Store
from legato.transfer import arriving
from tests.support.conversation import Conversation, text_of
from tests.support.transferring import Ferry


async def turns(conversation: Conversation, count: int, first: int = 0) -> list[Turn]:
    return [await conversation.answer(f"answer-{n}", f"question-{n}") for n in range(first, first + count)]


async def summarised(conversation: Conversation, turn: Turn, count: int, text: str = "Once upon a time.") -> None:
    """A summary at a turn's answer."""
    assert await conversation.store.write(summaries.keep, conversation.id, turn.answer_id or "", count, text)


async def held(conversation: Conversation, *, summarised: bool = True) -> Earlier:
    leaf_id = (await conversation.state()).leaf_id
    assert leaf_id is not None
    return await conversation.store.read(summaries.earlier, conversation.id, leaf_id, summarised=summarised)


async def in_force(conversation: Conversation) -> str:
    return (await conversation.store.read(summaries.current, conversation.id, conversation.owner)).text


async def pins(conversation: Conversation) -> list[str]:
    return [text_of(message) for message in (await held(conversation)).pinned]


async def rows(store: Store, session_id: str) -> int:
    def count(conn: Connection) -> int:
        found = select(func.count()).select_from(schema.summaries).where(schema.summaries.c.session_id == session_id)
        return conn.execute(found).scalar_one()

    return await store.read(count)


class Summarising:
    @pytest.mark.promise("C-03")
    async def test_the_nearest_summary_of_the_branch_is_in_force(self, conversation: Conversation) -> None:
        told = await turns(conversation, 4)
        assert await held(conversation) == Earlier()
        await summarised(conversation, told[0], 2, "first")
        await summarised(conversation, told[1], 4, "second")
        earlier = await held(conversation)
        assert earlier.summary is not None
        assert (earlier.summary.text, earlier.summary.messages, earlier.since) == ("second", 4, 4)
        assert (await held(conversation, summarised=False)).summary is None

        # An edit of what the second one tells of leads to a branch on which the first one counts.
        await conversation.edited(told[1].message_id, "question-1!", "answer-1!")
        earlier = await held(conversation)
        assert earlier.summary is not None
        assert (earlier.summary.text, earlier.since) == ("first", 2)
        await conversation.switch(told[3].message_id)
        assert await in_force(conversation) == "second"
        await conversation.edited(told[0].message_id, "question-0!", "answer-0!")
        with pytest.raises(SummaryNotFound):
            await in_force(conversation)

    @pytest.mark.promise("C-03")
    async def test_what_is_to_be_summarised_next(self, conversation: Conversation) -> None:
        told = await turns(conversation, 5)
        found = await conversation.store.read(summaries.material, conversation.id, 4, 6)
        assert (found.summary, found.count) == (None, 10)
        assert [text_of(each) for each in found.oldest] == ["question-0", "answer-0", "question-1", "answer-1"]
        assert text_of(found.newest[0]) == "question-2"
        await summarised(conversation, told[1], 4)
        found = await conversation.store.read(summaries.material, conversation.id, 2, 100)
        assert isinstance(found.summary, Summary)
        assert (found.count, [text_of(each) for each in found.oldest]) == (6, ["question-2", "answer-2"])
        assert len(found.newest) == 6

    @pytest.mark.promise("C-03")
    async def test_the_originals_stay_and_are_found(self, conversation: Conversation) -> None:
        told = await turns(conversation, 2)
        await summarised(conversation, told[0], 2)
        assert await conversation.texts() == ["question-0", "answer-0", "question-1", "answer-1"]

    @pytest.mark.promise("C-03")
    async def test_long_branches_are_walked_to_where_it_stands(self, conversation: Conversation) -> None:
        told = await turns(conversation, 40)
        await summarised(conversation, told[3], 8)
        await conversation.pin(told[1].message_id)
        earlier = await held(conversation)
        assert (earlier.since, earlier.covered) == (72, 1)
        assert [text_of(message) for message in earlier.pinned] == ["question-1"]

    @pytest.mark.promise("C-03")
    async def test_pins_are_told_and_stay_where_they_are(self, conversation: Conversation) -> None:
        told = await turns(conversation, 3)
        message = await conversation.pin(told[0].message_id)
        assert message.pinned
        assert (await conversation.state()).messages[0].pinned
        again = await conversation.pin(told[0].message_id)
        assert again == message
        await conversation.pin(told[1].answer_id or "")
        assert await pins(conversation) == ["question-0", "question-1", "answer-1"]
        await conversation.pin(told[0].message_id, pinned=False)
        assert await pins(conversation) == ["question-1", "answer-1"]

    @pytest.mark.promise("C-03", "S-15")
    async def test_pins_count_on_their_branches(self, conversation: Conversation) -> None:
        told = await turns(conversation, 3)
        await conversation.pin(told[0].message_id)
        await conversation.pin(told[2].message_id)
        await conversation.edited(told[1].message_id, "other", "words")
        assert await pins(conversation) == ["question-0"]
        await conversation.switch(told[2].message_id)
        assert await pins(conversation) == ["question-0", "question-2"]

    @pytest.mark.promise("C-03", "S-15")
    async def test_a_pin_beside_the_leaf_moves_nobody(self, conversation: Conversation) -> None:
        """A sibling of what a rolled back retry left as the leaf's child is not the leaf for being told again."""
        (turn,) = await turns(conversation, 1)
        await conversation.again("retry", turn)
        await conversation.claimed()
        await conversation.finish(remove=True)
        assert (await conversation.state()).leaf_id == turn.message_id
        await conversation.pin(turn.answer_id or "")
        assert (await conversation.state()).leaf_id == turn.message_id

    @pytest.mark.promise("C-03")
    async def test_what_can_not_be_pinned(self, store: Store, conversation: Conversation) -> None:
        other = await Conversation.begin(store, owner="bob")
        (foreign,) = await turns(other, 1)
        for unknown in (new_id("msg"), foreign.message_id):
            with pytest.raises(MessageNotFound):
                await conversation.pin(unknown)
        with pytest.raises(SessionNotFound):
            await store.write(pinning.pin, other.id, "ann", foreign.message_id, pinned=True)
        with pytest.raises(SessionNotFound):
            await store.read(summaries.current, other.id, "ann")
        started = await conversation.start("question")
        for message_id in (started.turn.message_id, conversation.answer_id):
            with pytest.raises(TurnNotFinished):
                await conversation.pin(message_id)
        waiting = await conversation.send("later")
        with pytest.raises(TurnNotFinished):
            await conversation.pin(waiting.turn.message_id)

    @pytest.mark.promise("C-03")
    async def test_pins_are_limited(self, conversation: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pinning, "MOST_PINNED", 2)
        told = await turns(conversation, 3)
        for turn in told[:2]:
            await conversation.pin(turn.message_id)
        with pytest.raises(Invalid, match="At most 2"):
            await conversation.pin(told[2].message_id)

    @pytest.mark.promise("C-03")
    async def test_cleared_and_deleted_sessions_keep_none(self, store: Store, conversation: Conversation) -> None:
        told = await turns(conversation, 2)
        await summarised(conversation, told[0], 2)
        await conversation.pin(told[0].message_id)
        await conversation.emptied()
        assert await rows(store, conversation.id) == 0
        with pytest.raises(SummaryNotFound):
            await in_force(conversation)
        with pytest.raises(MessageNotFound):
            await conversation.pin(told[0].message_id, pinned=False)
        assert not await store.write(summaries.keep, conversation.id, told[1].answer_id or "", 4, "too late")
        await turns(conversation, 1, first=9)
        assert await held(conversation) == Earlier()

    @pytest.mark.promise("C-03")
    async def test_rolled_back_messages_take_their_summary_with_them(self, conversation: Conversation) -> None:
        await turns(conversation, 1)
        started = await conversation.start("question")
        await conversation.store.write(summaries.keep, conversation.id, started.turn.message_id, 3, "gone soon")
        await conversation.finish(remove=True)
        assert await rows(conversation.store, conversation.id) == 0

    @pytest.mark.promise("C-03")
    async def test_a_damaged_summary_is_none(self, store: Store, conversation: Conversation) -> None:
        told = await turns(conversation, 2)
        await summarised(conversation, told[0], 2)

        def damage(conn: Connection) -> None:
            conn.execute(update(schema.summaries).values(text="Obey."))

        await store.write(damage)
        with pytest.raises(SummaryNotFound):
            await in_force(conversation)
        assert (await held(conversation)).summary is None
        await summarised(conversation, told[0], 2, "anew")
        assert await in_force(conversation) == "anew"

    @pytest.mark.promise("C-03")
    async def test_old_summaries_make_way(self, store: Store, conversation: Conversation) -> None:
        told = await turns(conversation, 23)
        for count, turn in enumerate(told, 1):
            await summarised(conversation, turn, 2 * count, f"summary-{count}")
        assert await rows(store, conversation.id) == 20
        assert await in_force(conversation) == "summary-23"

    @pytest.mark.promise("S-10", "C-03")
    async def test_trimming_stops_at_what_is_pinned(self, conversation: Conversation) -> None:
        told = await turns(conversation, 5)
        await summarised(conversation, told[0], 2)
        await conversation.pin(told[2].message_id)
        await conversation.trim(2)
        assert (await conversation.texts())[0] == "question-2"
        assert await rows(conversation.store, conversation.id) == 0
        await conversation.pin(told[2].message_id, pinned=False)
        await conversation.trim(2)
        assert await conversation.texts() == ["question-4", "answer-4"]

    @pytest.mark.promise("C-06")
    async def test_the_gauge_of_a_running_turn_is_what_it_was_sent(self, conversation: Conversation) -> None:
        running = (await conversation.start()).turn
        context = ContextInfo(messages=1, tokens=40, dropped=0, budget=90, window=100)
        await conversation.tell(TurnEvent(msgspec.structs.replace(running, context=context)))
        assert (await conversation.state()).gauge == Gauge(40, 100)
        await conversation.say("words")
        await conversation.finish()
        assert (await conversation.state()).gauge == Gauge(45, 100)

    @pytest.mark.promise("S-10", "C-03")
    async def test_trimmed_words_live_on_in_no_summary(self, conversation: Conversation) -> None:
        told = await turns(conversation, 5)
        await summarised(conversation, told[2], 6, "They said question-0.")
        found = await conversation.store.read(summaries.material, conversation.id, 10, 10)
        assert found.summary is not None
        await conversation.trim(6)
        assert (await held(conversation)).summary is None
        assert await rows(conversation.store, conversation.id) == 0
        assert await conversation.store.read(chores.due, "summary", "wrk_1", 10) == [conversation.id]
        # Who was at it just now tells of what is gone: upon the summary that there was, or from the first message on.
        key = conversation.id, told[4].answer_id or ""
        assert not await conversation.store.write(summaries.keep, *key, 10, "late", upon=found.summary)
        assert not await conversation.store.write(summaries.keep, *key, 10, "late", first_id=told[0].message_id)
        assert await conversation.store.write(summaries.keep, *key, 6, "anew", first_id=told[2].message_id)

    @pytest.mark.promise("C-03")
    async def test_all_that_is_pinned_is_checked_with_its_questions(self, conversation: Conversation) -> None:
        told = await turns(conversation, 3)
        await conversation.pin(told[0].message_id)
        seen: list[list[str]] = []

        def check(session: Session, messages: Sequence[Message]) -> None:
            seen.append(sorted(text_of(message) for message in messages))
            raise ContextOverflow("too much")

        key = conversation.id, conversation.owner, told[1].answer_id or ""
        with pytest.raises(ContextOverflow):
            await conversation.store.write(pinning.pin, *key, pinned=True, check=check)
        assert seen == [["answer-1", "question-0", "question-1"]]
        assert await pins(conversation) == ["question-0"]

    @pytest.mark.promise("C-03", "S-15", "S-13")
    async def test_a_copy_has_no_more_pins_than_a_session_may(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        conversation = await Conversation.begin(store)
        for turn in await turns(conversation, 3):
            await conversation.pin(turn.message_id)
        monkeypatch.setattr(arriving, "MOST_PINNED", 2)
        fork = await Ferry(store).forking.fork("ann", conversation.id)
        state, _ = await store.read(snapshots.snapshot, fork.id, "ann", 10)
        assert [text_of(message) for message in state.messages if message.pinned] == ["question-1", "question-2"]

    @pytest.mark.promise("C-03", "S-15")
    async def test_a_fork_has_the_summary_of_its_branch(self, store: Store) -> None:
        conversation = await Conversation.begin(store)
        told = await turns(conversation, 20)
        await summarised(conversation, told[1], 4, "of the first two")
        await summarised(conversation, told[18], 38, "too far")
        fork = await Ferry(store).forking.fork("ann", conversation.id, told[17].answer_id)
        found = await store.read(summaries.current, fork.id, "ann")
        assert (found.text, found.messages) == ("of the first two", 4)
        earlier = await store.read(
            summaries.earlier,
            fork.id,
            (await store.read(snapshots.snapshot, fork.id, "ann", 1))[0].leaf_id or "",
            summarised=True,
        )
        assert earlier.since == 32

    @pytest.mark.promise("S-10", "C-03")
    async def test_what_is_pinned_after_the_plan_was_made_stays(self, conversation: Conversation) -> None:
        told = await turns(conversation, 3)
        plan = await conversation.store.read(trimming.plan, conversation.id, 2)
        await conversation.pin(told[0].message_id)
        assert not (await conversation.cut(plan, plan.slices[0])).rows
        assert len(await conversation.texts()) == 6

    @pytest.mark.promise("S-13", "C-03")
    async def test_pins_leave_with_an_export(self, conversation: Conversation) -> None:
        (turn,) = await turns(conversation, 1)
        await conversation.pin(turn.message_id)
        found = await conversation.store.read(exporting.read_messages, [turn.message_id, turn.answer_id or ""])
        assert [(each.parts, each.pinned) for each in found] == [
            ((TextPart("question-0"),), True),
            ((TextPart("answer-0"),), False),
        ]
