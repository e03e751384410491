"""Continue and retry: new turns, and the branches that they make."""

import pytest

from legato.core.errors import Conflict, MessageIdReused, MessageNotFound, TurnNotFinished, TurnNotFound
from legato.store import snapshots
from legato.store.port import Store
from tests.support.conversation import Conversation, text_of


class Branches:
    @pytest.mark.promise("R-06")
    async def test_continue_is_a_new_turn_with_a_message_of_its_own(self, conversation: Conversation) -> None:
        source = (await conversation.start()).turn
        await conversation.say("I was about")
        await conversation.rescue(source.id)

        accepted = await conversation.again("continue", source, message_type="continue")
        claimed = await conversation.claimed()

        assert (accepted.turn.kind, accepted.turn.source_turn_id) == ("continue", source.id)
        assert claimed.message.message_type == "continue"
        assert claimed.message.parent_id == source.answer_id

    @pytest.mark.promise("R-06")
    async def test_only_the_last_answer_can_be_continued(self, conversation: Conversation) -> None:
        """Who has an older view of the conversation must not have another answer gone on with than he sees."""
        first = await conversation.answer("I was about", "first")
        second = await conversation.answer("whole", "second")
        with pytest.raises(Conflict, match="has gone on since"):
            await conversation.again("continue", first)

        waits = (await conversation.send("third")).turn
        with pytest.raises(Conflict, match="has gone on since"):
            await conversation.again("continue", second)
        await conversation.withdraw(waits.id)

        await conversation.again("retry", first)
        await conversation.claimed()
        with pytest.raises(Conflict, match="has gone on since"):
            await conversation.again("continue", second)
        await conversation.finish()
        await conversation.switch(second.answer_id or "")
        await conversation.again("continue", second)
        assert (await conversation.claimed()).message.parent_id == second.answer_id

    @pytest.mark.promise("S-17")
    async def test_a_retry_hangs_a_second_answer_under_the_same_message(self, conversation: Conversation) -> None:
        source = await conversation.answer("first")

        accepted = await conversation.again("retry", source)
        assert accepted.turn.message_id == source.message_id
        assert await conversation.texts() == ["Hello", "first"]  # a retry waits without a message

        claimed = await conversation.claimed()
        await conversation.say("second")
        await conversation.finish()

        assert claimed.message.id == source.message_id
        assert await conversation.texts() == ["Hello", "second"]
        assert [m.parent_id for m in (await conversation.state()).messages] == [None, source.message_id]

    @pytest.mark.promise("E-01")
    async def test_a_retry_on_an_earlier_branch_brings_that_branch_back(self, conversation: Conversation) -> None:
        first = await conversation.answer("a1", "A")
        second = await conversation.answer("b1", "B")
        await conversation.answer("c1", "C")
        await conversation.again("retry", first)
        await conversation.claimed()
        await conversation.say("a2")
        await conversation.finish()
        assert await conversation.texts() == ["A", "a2"]

        await conversation.again("retry", second)
        await conversation.claimed()
        await conversation.say("b2")

        assert await conversation.texts() == ["A", "a1", "B", "b2"]

    async def test_what_follows_a_retry_hangs_under_it(self, conversation: Conversation) -> None:
        source = await conversation.answer("first")
        await conversation.again("retry", source)
        retried = (await conversation.claimed()).turn
        await conversation.say("second")
        await conversation.send("And then?")
        await conversation.finish()

        assert (await conversation.claimed()).message.parent_id == retried.answer_id

    async def test_a_retry_can_be_retried(self, conversation: Conversation) -> None:
        source = await conversation.answer("first")
        for text in ("second", "third"):
            source = (await conversation.again("retry", source)).turn
            await conversation.claimed()
            await conversation.say(text)
            await conversation.finish()

        assert await conversation.texts() == ["Hello", "third"]

    @pytest.mark.parametrize("kind", ["continue", "retry"])
    async def test_a_turn_that_goes_on_has_nothing_to_continue(self, conversation: Conversation, kind: str) -> None:
        waiting = (await conversation.send()).turn
        with pytest.raises(TurnNotFinished):
            await conversation.again(kind, waiting)

        running = (await conversation.claimed()).turn
        with pytest.raises(TurnNotFinished) as caught:
            await conversation.again(kind, running)
        assert caught.value.details == {"turn_id": running.id}

    async def test_a_message_that_is_gone_cannot_be_answered_again(self, conversation: Conversation) -> None:
        waiting = (await conversation.send()).turn
        await conversation.withdraw(waiting.id)
        rolled_back = (await conversation.start()).turn
        await conversation.send("rather", mode="rollback")

        for turn in (waiting, rolled_back):
            with pytest.raises(MessageNotFound):
                await conversation.again("retry", turn)
            with pytest.raises(Conflict):
                await conversation.again("continue", turn)

    @pytest.mark.promise("R-02")
    async def test_a_repeated_retry_is_the_same_turn(self, store: Store, conversation: Conversation) -> None:
        source = await conversation.answer()
        first = await conversation.again("retry", source, client_message_id="again")

        assert (await conversation.again("retry", source, client_message_id="again")).turn == first.turn
        with pytest.raises(MessageIdReused):
            await conversation.again("continue", source, client_message_id="again")
        with pytest.raises(TurnNotFound):
            await store.read(snapshots.turn, conversation.id, "ann", "trn_none")

    @pytest.mark.promise("R-03")
    async def test_a_retry_that_is_rolled_back_leaves_its_message(self, conversation: Conversation) -> None:
        source = await conversation.answer("first")
        await conversation.again("retry", source)
        await conversation.claimed()
        await conversation.say("never mind")
        await conversation.send("rather", mode="rollback")

        assert await conversation.texts() == ["Hello", "rather"]
        assert b"never mind" not in b"".join(row.payload for row in await conversation.rows())

    async def test_history_pages_walk_the_branch_that_is_active(self, store: Store, conversation: Conversation) -> None:
        turns = [await conversation.answer(f"answer {n}", f"question {n}") for n in range(4)]
        await conversation.again("retry", turns[2])
        await conversation.claimed()
        await conversation.say("other answer 2")

        pages: list[list[str]] = []
        cursor: str | None = None
        while not pages or cursor is not None:
            page, cursor = await store.read(snapshots.history, conversation.id, "ann", 2, cursor)
            pages.append([text_of(message) for message in page])

        assert pages == [
            ["question 2", "other answer 2"],
            ["question 1", "answer 1"],
            ["question 0", "answer 0"],
        ]

    async def test_a_page_of_another_branch_can_be_asked_for_by_its_message(
        self, store: Store, conversation: Conversation
    ) -> None:
        source = await conversation.answer("first")
        await conversation.again("retry", source)
        await conversation.claimed()
        await conversation.finish("completed")

        page, _ = await store.read(snapshots.history, conversation.id, "ann", 10, source.answer_id)
        assert [text_of(message) for message in page] == ["Hello", "first"]
