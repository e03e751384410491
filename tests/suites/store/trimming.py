"""A session that keeps its newest messages: the oldest turns go whole, and everybody who follows agrees."""

from collections.abc import Sequence

import msgspec
import pytest

from legato.core.errors import BadCursor, MessageNotFound
from legato.core.events import Done, StatusUpdate, ToolCall, ToolResult, TurnEvent
from legato.core.fold import Fold
from legato.store import journal, snapshots, trimming
from legato.store.port import Row, Store
from legato.store.sessions import Changed
from tests.suites.store.emptying import remains
from tests.support.conversation import Conversation
from tests.support.transferring import EVERYTHING, Ferry, document


async def turns(conversation: Conversation, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        await conversation.answer(f"answer-{number}", f"question-{number}")


class Unwatched(Conversation):
    """For what is too long to be checked after each step."""

    async def _stepped(self, rows: Sequence[Row]) -> None:
        pass


async def imported(conversation: Conversation, leaf_id: str | None = None) -> Conversation:
    """The same as it comes in again, as Bob's, followed from its beginning; with another leaf if one is named."""
    store, ferry = conversation.store, Ferry(conversation.store)
    file = document(await ferry.out(conversation.id))
    if leaf_id is not None:
        file = msgspec.structs.replace(file, session=msgspec.structs.replace(file.session, leaf_id=leaf_id))
    report = await ferry.into(msgspec.json.encode(file), owner="bob")
    await ferry.tasks.settle(5)
    session_id = report.imported[0].id
    assert session_id is not None
    state, _ = await store.read(snapshots.snapshot, session_id, "bob", EVERYTHING)
    return Conversation(store, Changed(state.session, tuple(await store.read(journal.read_rows, session_id, 0))))


class Trimming:
    @pytest.mark.promise("S-10")
    @pytest.mark.parametrize(
        ("limit", "left"), [(10, 10), (9, 8), (8, 8), (5, 4), (2, 2), (1, 2)], ids=lambda value: str(value)
    )
    async def test_the_newest_messages_stay_in_whole_turns(
        self, conversation: Conversation, limit: int, left: int
    ) -> None:
        await turns(conversation, 5)
        slices = await conversation.trim(limit)
        texts = await conversation.texts()
        assert texts == [f"{who}-{n}" for n in range(5) for who in ("question", "answer")][-left:]
        assert slices == (left < 10)
        gone = [f"{who}-{n}" for n in range(5 - left // 2) for who in ("question", "answer")]
        assert await remains(conversation, *gone) == [], "not a word of it is left in the journal"
        assert (await conversation.state()).messages[0].parent_id is None

    @pytest.mark.promise("S-10")
    async def test_a_tool_call_is_never_parted_from_its_result(self, conversation: Conversation) -> None:
        turn = (await conversation.start("What is the weather?")).turn
        await conversation.tell(
            ToolCall(turn.id, conversation.answer_id, 0, "call_1", "weather", "{}"),
            ToolResult(turn.id, conversation.answer_id, 1, "call_1", "sunny"),
        )
        await conversation.finish()
        await turns(conversation, 1)
        await conversation.trim(3)
        assert await conversation.texts() == ["question-0", "answer-0"]
        assert await remains(conversation, "sunny", "What is the weather?") == []

    @pytest.mark.promise("S-10")
    async def test_what_is_answered_again_goes_with_its_question(self, conversation: Conversation) -> None:
        await turns(conversation, 1)
        again = await conversation.answer("first try", "Why?")
        await conversation.again("retry", again)
        await conversation.claimed()
        await conversation.say("second try")
        await conversation.finish()
        await turns(conversation, 1, first=1)
        await conversation.trim(3)
        assert await conversation.texts() == ["question-1", "answer-1"]
        assert await remains(conversation, "first try", "second try", "Why?") == []
        with pytest.raises(MessageNotFound):
            await conversation.again("retry", again)

    @pytest.mark.promise("S-10")
    async def test_a_side_branch_of_what_stays_stays(self, conversation: Conversation) -> None:
        await turns(conversation, 1)
        again = await conversation.answer("first try", "Why?")
        await conversation.again("retry", again)
        await conversation.claimed()
        await conversation.say("second try")
        await conversation.finish()
        await conversation.trim(2)
        assert await conversation.texts() == ["Why?", "second try"]
        assert await remains(conversation, "first try", "answer-0") == ["first try"]

    @pytest.mark.promise("S-10")
    async def test_steered_messages_go_with_the_turn_that_took_them_over(self, conversation: Conversation) -> None:
        await conversation.start("Begin")
        await conversation.say("Once")
        await conversation.send("Left, please", mode="steer")
        await conversation.steer()
        await conversation.say("Left it is")
        await conversation.finish()
        await turns(conversation, 1)
        await conversation.trim(4)
        assert await conversation.texts() == ["question-0", "answer-0"]
        assert await remains(conversation, "Begin", "Once", "Left, please", "Left it is") == []

    @pytest.mark.promise("S-10")
    async def test_what_lies_before_a_running_turn_goes_while_it_runs(self, conversation: Conversation) -> None:
        await turns(conversation, 3)
        await conversation.start("And now?")
        await conversation.say("Now ")
        await conversation.send("left, please", mode="steer")
        await conversation.send("Waiting")
        await conversation.trim(2)
        assert await conversation.texts() == ["And now?", "Now ", "left, please", "Waiting"]
        await conversation.steer()
        await conversation.say("it is")
        await conversation.trim(1)
        await conversation.finish()
        await conversation.claimed()
        await conversation.say("At last")
        await conversation.trim(1)
        assert await conversation.texts() == ["Waiting", "At last"]
        await conversation.finish()
        assert await remains(conversation, "question-", "answer-", "And now?", "Now ", "please", "it is") == []

    @pytest.mark.promise("S-10")
    async def test_a_running_turn_can_be_rolled_back_to_what_was_trimmed(self, conversation: Conversation) -> None:
        await turns(conversation, 2)
        await conversation.start("And now?")
        await conversation.trim(2)
        await conversation.send("Rather this", mode="rollback")
        await conversation.claimed()
        assert await conversation.texts() == ["Rather this", ""]

    @pytest.mark.promise("S-10")
    async def test_what_becomes_a_root_and_goes_at_once_leaves_nothing(self, conversation: Conversation) -> None:
        """For a reader who was not asked for the state in between."""
        await turns(conversation, 1)
        await conversation.start("And now?")
        state, cursor = await conversation.moment()
        await conversation.trim(2)
        await conversation.send("Rather this", mode="rollback")
        told = await conversation.events(cursor)
        held = Fold(state).apply_all([event for _, event in told])
        assert held.leaf_id is None
        assert held.state() == await conversation.state()

    @pytest.mark.promise("S-10")
    async def test_nothing_goes_that_is_about_to_be_answered_again(self, conversation: Conversation) -> None:
        await turns(conversation, 1)
        again = await conversation.answer("first try", "Why?")
        await turns(conversation, 2, first=1)
        await conversation.again("retry", again)
        assert (await conversation.store.read(trimming.plan, conversation.id, 2)).blocked
        assert await conversation.trim(2) == 0
        await conversation.claimed()
        await conversation.trim(2)
        assert await conversation.texts() == ["Why?", ""]
        await conversation.say("second try")
        await conversation.finish()
        assert await conversation.texts() == ["Why?", "second try"]

    @pytest.mark.promise("S-10")
    @pytest.mark.parametrize("by", ["a retry", "a claim"])
    async def test_a_plan_that_the_session_has_outrun_changes_nothing(
        self, conversation: Conversation, by: str
    ) -> None:
        old = await conversation.answer("first", "first")
        await turns(conversation, 3)
        plan = await conversation.store.read(trimming.plan, conversation.id, 2)
        await (conversation.again("retry", old) if by == "a retry" else conversation.start())
        before = await conversation.moment()
        for piece in plan.slices:
            assert (await conversation.cut(plan, piece)).rows == ()
        assert await conversation.moment() == before

    @pytest.mark.promise("S-10")
    async def test_what_was_a_root_goes_without_a_word_left(self, conversation: Conversation) -> None:
        for number in range(6):
            await turns(conversation, 1, first=number)
            await conversation.trim(2)
        gone = [f"{who}-{n}" for n in range(5) for who in ("question", "answer")]
        assert await remains(conversation, *gone) == []
        assert await conversation.texts() == ["question-5", "answer-5"]

    @pytest.mark.promise("S-10")
    async def test_a_retry_that_stays_does_not_repeat_what_led_to_it(self, conversation: Conversation) -> None:
        await turns(conversation, 1)
        again = await conversation.answer("first try", "Why?")
        other = await conversation.answer("answer-1", "question-1")
        first = (await conversation.again("retry", again)).turn
        await conversation.claimed()
        await conversation.finish()
        await conversation.again("retry", other)  # brings "first try" back, and tells it
        await conversation.claimed()
        await conversation.say("second answer")
        await conversation.finish()
        assert first.message_id == again.message_id
        await conversation.trim(2)
        assert await conversation.texts() == ["question-1", "second answer"]
        assert await remains(conversation, "question-0", "answer-0", "Why?", "first try") == []

    @pytest.mark.promise("S-10")
    async def test_what_an_agent_was_doing_goes_too(self, conversation: Conversation) -> None:
        turn = (await conversation.start()).turn
        await conversation.tell(StatusUpdate(turn.id, "executing", "looking up Rumpelstilzchen"))
        await conversation.tell(TurnEvent(msgspec.structs.replace(turn, detail="reading Rumpelstilzchen")))
        ended = await conversation.finish()
        await turns(conversation, 1)
        await conversation.trim(2)
        assert await remains(conversation, "Rumpelstilzchen") == []
        assert ended is not None
        done = next(event for _, event in await conversation.events() if isinstance(event, Done))
        assert done.turn_id == ended.turn.id

    @pytest.mark.promise("S-10")
    async def test_the_turn_that_ended_last_is_still_told_when_its_words_are_gone(
        self, conversation: Conversation
    ) -> None:
        first = await conversation.answer("a1", "A")
        second = await conversation.answer("b1", "B")
        await conversation.again("retry", first)
        await conversation.claimed()
        await conversation.finish()
        third = await conversation.answer("c1", "C")
        await conversation.again("retry", second)
        last = (await conversation.claimed()).turn
        await conversation.tell(TurnEvent(msgspec.structs.replace(last, detail="reading Rumpelstilzchen")))
        await conversation.say("b2")
        await conversation.finish()
        await conversation.again("retry", third)
        await conversation.claimed()
        await conversation.trim(2)
        state = await conversation.state()
        assert state.turns[0].id == last.id
        assert await conversation.texts() == ["C", ""]
        assert await remains(conversation, "Rumpelstilzchen", '"b2"') == []
        await conversation.agree()

    @pytest.mark.promise("S-10", "R-02")
    async def test_a_trimmed_send_is_still_the_same_turn(self, conversation: Conversation) -> None:
        first = (await conversation.send("question", client_message_id="once")).turn
        await conversation.claimed()
        await conversation.finish()
        await turns(conversation, 2)
        await conversation.trim(2)
        again = await conversation.send("question", client_message_id="once")
        assert (again.turn.id, again.fresh) == (first.id, False)

    @pytest.mark.promise("S-10", "E-03")
    async def test_who_comes_back_finds_the_same_as_who_never_left(self, conversation: Conversation) -> None:
        """``agree`` lets readers resume from each step; this one holds the newest messages only."""
        await turns(conversation, 4)
        short, cursor = await conversation.store.read(snapshots.snapshot, conversation.id, "ann", 3)
        assert short.has_more
        old = short.messages[0]
        await conversation.trim(4)
        told = await conversation.events(cursor)
        fold = Fold(short).apply_all([event for _, event in told])
        assert (fold.state().messages, fold.state().has_more) == (short.messages, True), "one older message is left"
        await conversation.trim(2)
        fold.apply_all([event for seq, event in await conversation.events(cursor) if seq > told[-1][0]])
        assert fold.state() == await conversation.state()
        await turns(conversation, 1, first=4)
        with pytest.raises(BadCursor):
            await conversation.store.read(snapshots.history, conversation.id, "ann", 10, old.parent_id)

    @pytest.mark.promise("S-10")
    async def test_a_long_session_is_trimmed_in_slices(self, store: Store) -> None:
        conversation = await Unwatched.begin(store)
        await turns(conversation, 120)
        assert await conversation.trim(20) == 3
        assert len(await conversation.texts()) == 20
        assert await remains(conversation, "question-0", "answer-109") == []

    @pytest.mark.promise("S-10", "E-03")
    async def test_it_can_be_compacted_before_and_after(self, conversation: Conversation) -> None:
        first = await conversation.answer("answer-0", "question-0")
        second = await conversation.answer("answer-1", "question-1")
        await turns(conversation, 1, first=2)
        await conversation.compact(first.id)
        await conversation.trim(2)
        assert await conversation.compact(second.id), "what was trimmed is not damaged"
        assert await conversation.texts() == ["question-2", "answer-2"]
        assert await remains(conversation, "answer-0", "answer-1") == []

    @pytest.mark.promise("S-10", "S-13")
    async def test_what_was_imported_is_trimmed_like_any(self, conversation: Conversation) -> None:
        await turns(conversation, 3)
        again = await conversation.answer("first try", "question-3")
        await conversation.again("retry", again)
        await conversation.claimed()
        await conversation.say("second try")
        await conversation.finish()
        came = await imported(conversation, again.answer_id)
        assert len(await came.texts()) == 8

        await came.trim(4)
        assert await came.texts() == ["question-2", "answer-2", "question-3", "first try"]
        assert await remains(came, *(f"{who}-{n}" for n in (0, 1) for who in ("question", "answer"))) == []
        await came.agree()

        await turns(came, 1, first=4)
        await came.trim(2)
        assert await came.texts() == ["question-4", "answer-4"]
        assert await remains(came, "question-2", "answer-2", "question-3", "first try", "second try") == []
        await came.agree()
        await conversation.agree()

    @pytest.mark.promise("S-10", "S-13")
    async def test_what_runs_in_what_was_imported_goes_on(self, conversation: Conversation) -> None:
        await turns(conversation, 3)
        came = await imported(conversation)
        await came.start("And now?")
        await came.say("Now ")
        await came.trim(2)
        await came.agree()
        await came.say("it is")
        await came.finish()
        assert await came.texts() == ["And now?", "Now it is"]
        assert await remains(came, "question-", "answer-") == []
        await came.agree()
