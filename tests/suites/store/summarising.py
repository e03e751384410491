"""Summaries and pins: what a prompt holds besides the newest messages, on every branch and whatever is taken away."""

import pytest
from sqlalchemy import Connection, func, select, update

from legato.core.errors import Invalid, MessageNotFound, SessionNotFound, SummaryNotFound, TurnNotFinished
from legato.core.ids import new_id
from legato.core.model import Summary, TextPart, Turn
from legato.core.prompt import Earlier
from legato.store import exporting, pinning, schema, summaries
from legato.store.port import Store
from tests.support.conversation import Conversation, text_of


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
        monkeypatch.setattr(pinning, "MOST", 2)
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

    @pytest.mark.promise("S-10", "C-03")
    async def test_what_is_pinned_after_the_plan_was_made_stays(self, conversation: Conversation) -> None:
        from legato.store import trimming

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
