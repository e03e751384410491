"""Branches: a message edited, answered again, read and switched to (promise S-15), and what is active for everybody."""

import pytest

from legato.core.errors import (
    Conflict,
    Invalid,
    MessageIdReused,
    MessageNotFound,
    SessionClosed,
    SessionNotFound,
    TurnInProgress,
)
from legato.core.model import Turn
from legato.engine import searching
from legato.store import branching, ending, forking, memories, messages, snapshots, trimming
from legato.store import sessions as session_store
from legato.store.claiming import Claimed
from legato.store.port import Store
from tests.support.conversation import Conversation, meter, text_of


async def three(conversation: Conversation) -> list[Turn]:
    """A conversation of three questions: A a1 B b1 C c1."""
    return [await conversation.answer(f"{letter.lower()}1", letter) for letter in "ABC"]


async def given(conversation: Conversation, claimed: Claimed) -> list[str]:
    """The texts of the history that the model is given."""
    return [text_of(each) for each in await conversation.store.read(messages.branch, claimed.message.id, 0)]


class Branching:
    @pytest.mark.promise("S-15")
    async def test_an_edited_message_is_answered_beside_the_one_that_it_takes_the_place_of(
        self, conversation: Conversation
    ) -> None:
        _, second, _ = await three(conversation)

        accepted = await conversation.edit(second.message_id, "B!")
        claimed = await conversation.claimed()
        await conversation.say("b!")
        await conversation.finish()

        assert (accepted.turn.kind, accepted.turn.source_turn_id) == ("edit", second.id)
        assert await given(conversation, claimed) == ["A", "a1", "B!"]
        assert await conversation.texts() == ["A", "a1", "B!", "b!"]
        page = await conversation.page()
        assert page.branches == {claimed.message.id: (second.message_id, claimed.message.id)}
        await conversation.agree()

    @pytest.mark.promise("S-15")
    async def test_the_first_message_can_be_edited(self, conversation: Conversation) -> None:
        first, *_ = await three(conversation)
        edit = await conversation.edited(first.message_id, "A!", "a!")

        assert await conversation.texts() == ["A!", "a!"]
        assert (await conversation.page()).branches == {edit.message_id: (first.message_id, edit.message_id)}
        await conversation.agree()

    @pytest.mark.promise("S-15")
    async def test_an_edit_of_an_edit_stands_beside_both(self, conversation: Conversation) -> None:
        first = await conversation.answer("a1", "A")
        second = await conversation.edited(first.message_id, "A!", "a2")
        third = await conversation.edited(second.message_id, "A?", "a3")

        siblings = (first.message_id, second.message_id, third.message_id)
        assert (await conversation.page()).branches == {third.message_id: siblings}

    @pytest.mark.promise("S-15", "R-03")
    async def test_an_edit_that_waits_keeps_its_place(self, conversation: Conversation) -> None:
        """What is plainly queued follows what is there by then; an edit and a retry stand where they were asked for."""
        first = await conversation.answer("a1", "A")
        await conversation.start("B")
        edit = await conversation.edit(first.message_id, "A!")
        plain = await conversation.send("C")
        waiting = (await conversation.state()).messages[-2:]
        assert [(text_of(message), message.status) for message in waiting] == [("A!", "queued"), ("C", "queued")]
        await conversation.finish()

        assert (await conversation.claimed()).turn.id == edit.turn.id
        assert await conversation.texts() == ["A!", "", "C"]
        await conversation.say("a!")
        await conversation.finish()
        claimed = await conversation.claimed()

        assert (claimed.turn.id, await conversation.texts()) == (plain.turn.id, ["A!", "a!", "C", ""])
        await conversation.agree()

    @pytest.mark.promise("R-03")
    @pytest.mark.parametrize("mode", ["interrupt", "rollback"])
    async def test_the_message_that_is_answered_now_can_be_edited(self, conversation: Conversation, mode: str) -> None:
        await conversation.answer("a1", "A")
        running = await conversation.start("B")
        await conversation.say("b")
        await conversation.edit(running.message.id, "B!", mode=mode)

        claimed = await conversation.claimed()
        assert await given(conversation, claimed) == ["A", "a1", "B!"]
        beside = (running.message.id, claimed.message.id) if mode == "interrupt" else None
        assert (await conversation.page()).branches.get(claimed.message.id) == beside
        await conversation.agree()

    @pytest.mark.promise("R-03")
    async def test_a_steering_message_can_be_edited_while_its_turn_is_rolled_back(
        self, conversation: Conversation
    ) -> None:
        """What it hung on goes with the turn."""
        await conversation.answer("a1", "A")
        await conversation.start("B")
        await conversation.say("b")
        await conversation.send("faster", mode="steer")
        steered = await conversation.steer()
        assert steered is not None
        await conversation.edit(steered.messages[0].id, "slower", mode="rollback")

        claimed = await conversation.claimed()
        assert await given(conversation, claimed) == ["A", "a1", "slower"]
        await conversation.agree()

    @pytest.mark.promise("R-03")
    async def test_an_edit_is_never_steered_into_what_runs(self, conversation: Conversation) -> None:
        first = await conversation.answer("a1", "A")
        await conversation.start("B")
        edit = await conversation.edit(first.message_id, "A!", mode="steer")
        assert await conversation.steer() is None
        await conversation.finish()

        assert (await conversation.claimed()).turn.id == edit.turn.id
        assert await conversation.texts() == ["A!", ""]

    @pytest.mark.promise("R-03")
    async def test_an_edit_whose_place_is_rolled_back_ends(self, conversation: Conversation) -> None:
        await conversation.start("A")
        await conversation.say("a")
        await conversation.send("more", mode="steer")
        steered = await conversation.steer()
        assert steered is not None
        waiting = await conversation.edit(steered.messages[0].id, "less")
        await conversation.send("Rather B", mode="rollback")

        turn = await conversation.store.read(snapshots.turn, conversation.id, "ann", waiting.turn.id)
        assert (turn.status, turn.reason) == ("cancelled", "rolled_back")
        assert (await conversation.claimed()).message.parent_id is None
        await conversation.agree()

    @pytest.mark.promise("R-03", "E-01")
    async def test_an_edit_that_is_rolled_back_leaves_no_word_and_the_place_before_it(
        self, conversation: Conversation
    ) -> None:
        first, _, third = await three(conversation)
        await conversation.switch(third.message_id)
        await conversation.edited(
            first.message_id, "A!", "a!"
        )  # so that there is something to tell of the other branch
        await conversation.edit(third.message_id, "secret question")
        await conversation.claimed()
        await conversation.say("secret answer")
        await conversation.send("C?", mode="rollback")

        assert b"secret" not in b"".join(row.payload for row in await conversation.rows())
        await conversation.claimed()
        assert await conversation.texts() == ["A", "a1", "B", "b1", "C?", ""]
        await conversation.agree()

    async def test_only_what_a_person_said_here_can_be_edited(self, store: Store, conversation: Conversation) -> None:
        turn = await conversation.answer("a1", "A")
        other = await Conversation.begin(store)
        elsewhere = await other.answer("x", "X")
        running = await conversation.start("B")
        waiting = await conversation.send("C")

        with pytest.raises(Invalid):
            await conversation.edit(turn.answer_id or "")
        with pytest.raises(Invalid):
            await conversation.edit(running.turn.answer_id or "")
        for unknown in ("msg_none", elsewhere.message_id):
            with pytest.raises(MessageNotFound):
                await conversation.edit(unknown)
        with pytest.raises(Conflict) as caught:
            await conversation.edit(waiting.turn.message_id)
        assert caught.value.details["turn_id"] == waiting.turn.id

    @pytest.mark.promise("R-02")
    async def test_a_repeated_edit_is_the_same_turn(self, conversation: Conversation) -> None:
        turn = await conversation.answer("a1", "A")
        first = await conversation.edit(turn.message_id, "A!", client_message_id="edit")
        await conversation.claimed()
        await conversation.finish()
        again = await conversation.edit(turn.message_id, "A!", client_message_id="edit")

        assert (again.turn.id, again.fresh) == (first.turn.id, False)
        with pytest.raises(MessageIdReused):
            await conversation.edit(turn.message_id, "A?", client_message_id="edit")

    @pytest.mark.promise("S-15")
    async def test_any_answer_on_any_branch_can_be_made_again(self, conversation: Conversation) -> None:
        first, second, _ = await three(conversation)
        other = await conversation.edited(first.message_id, "A!", "a!")
        again = await conversation.retried(second, "b2")  # of the branch that is not active
        assert await conversation.texts() == ["A", "a1", "B", "b2"]
        assert (await conversation.page()).branches == {
            first.message_id: (first.message_id, other.message_id),
            again.answer_id: (second.answer_id, again.answer_id),
        }
        await conversation.retried(other, "a!!")
        assert await conversation.texts() == ["A!", "a!!"]
        await conversation.agree()

    @pytest.mark.promise("S-15")
    async def test_another_branch_is_read_up_to_its_newest_message(self, conversation: Conversation) -> None:
        first, second, third = await three(conversation)
        await conversation.edited(first.message_id, "A!", "a!")

        for message_id in (first.message_id, second.answer_id, third.answer_id):
            page = await conversation.page(through=message_id)
            assert [text_of(message) for message in page.messages] == ["A", "a1", "B", "b1", "C", "c1"]
            assert page.leaf_id == third.answer_id
        older = await conversation.store.read(
            branching.history, conversation.id, "ann", 2, second.message_id, third.answer_id
        )
        assert ([text_of(message) for message in older.messages], older.older) == (["a1", "B"], first.message_id)
        assert await conversation.texts() == ["A!", "a!"]  # nothing has changed by that

    @pytest.mark.promise("S-15", "E-01")
    async def test_switching_brings_a_branch_back_for_every_reader(self, conversation: Conversation) -> None:
        first, second, _ = await three(conversation)
        edit = await conversation.edited(second.message_id, "B!", "b!")
        await conversation.retried(first, "a2")

        for message_id, texts in (
            (edit.message_id, ["A", "a1", "B!", "b!"]),
            (second.message_id, ["A", "a1", "B", "b1", "C", "c1"]),
            (first.answer_id or "", ["A", "a1", "B!", "b!"]),  # the newest below
        ):
            await conversation.switch(message_id)
            assert await conversation.texts() == texts
        await conversation.agree()
        assert (await conversation.start("D")).message.parent_id == edit.answer_id
        await conversation.agree()

    async def test_switching_to_where_one_is_changes_nothing(self, conversation: Conversation) -> None:
        first = await conversation.answer("a1", "A")
        head = (await conversation.moment())[1]
        await conversation.switch(first.message_id)
        assert (await conversation.moment())[1] == head

    @pytest.mark.promise("S-15")
    async def test_a_long_branch_is_told_in_rows_that_are_read_one_by_one(self, conversation: Conversation) -> None:
        first = await conversation.answer("a1", "A")
        for number in range(7):
            await conversation.answer(str(number) * 50_000, f"question {number}")
        long = await conversation.texts()
        await conversation.edited(first.message_id, "A!", "a!")
        moment = (await conversation.moment())[1]
        await conversation.switch(first.message_id)

        assert await conversation.texts() == long
        rows = await conversation.rows(moment)
        assert [row.last_seq - row.first_seq + 1 for row in rows] == [14, 2]
        await conversation.agree()

    async def test_a_switch_that_the_session_has_outrun_changes_nothing(
        self, store: Store, conversation: Conversation
    ) -> None:
        first = await conversation.answer("a1", "A")
        await conversation.edited(first.message_id, "A!", "a!")
        plan = await store.read(branching.plan, conversation.id, "ann", first.message_id)
        await conversation.answer("b1", "B")

        assert await store.write(branching.switch, conversation.id, "ann", plan) is None
        assert await conversation.texts() == ["A!", "a!", "B", "b1"]

    @pytest.mark.promise("S-15")
    async def test_nothing_is_switched_while_something_runs_or_waits(
        self, store: Store, conversation: Conversation
    ) -> None:
        first = await conversation.answer("a1", "A")
        await conversation.edited(first.message_id, "A!", "a!")
        waiting = await conversation.send("B")
        with pytest.raises(TurnInProgress) as caught:
            await conversation.switch(first.message_id)
        assert caught.value.details["turn_id"] == waiting.turn.id
        await conversation.claimed()
        with pytest.raises(TurnInProgress):
            await conversation.switch(first.message_id)
        await conversation.finish()
        await conversation.change(closed=True)
        with pytest.raises(SessionClosed):
            await conversation.switch(first.message_id)
        for unknown in ("msg_none", (await (await Conversation.begin(store)).answer()).message_id):
            with pytest.raises(MessageNotFound):
                await conversation.page(through=unknown)
            with pytest.raises(MessageNotFound):
                await conversation.switch(unknown)
        with pytest.raises(SessionNotFound):
            await store.read(branching.plan, conversation.id, "bob", first.message_id)
        with pytest.raises(SessionNotFound):
            await store.read(branching.history, conversation.id, "bob", 10, None, first.message_id)

    @pytest.mark.promise("S-08", "S-15")
    async def test_what_was_cleared_is_nobodys_branch(self, store: Store, conversation: Conversation) -> None:
        first, *_ = await three(conversation)
        await conversation.took((await store.write(ending.clear, conversation.id, "ann", meter)).rows)
        await conversation.answer("d1", "D")

        page = await conversation.page()
        assert ([text_of(message) for message in page.messages], page.branches) == (["D", "d1"], {})
        with pytest.raises(MessageNotFound):
            await conversation.edit(first.message_id)
        with pytest.raises(MessageNotFound):
            await conversation.page(through=first.message_id)
        with pytest.raises(MessageNotFound):
            await conversation.switch(first.message_id)
        with pytest.raises(MessageNotFound):
            await store.read(forking.source, conversation.id, "ann", first.message_id)

    # What is active, for everybody

    @pytest.mark.promise("S-14", "S-15")
    async def test_a_search_finds_every_branch_and_says_which_is_active(
        self, store: Store, conversation: Conversation
    ) -> None:
        first = await conversation.answer("herring", "dinner one")
        edit = await conversation.edited(first.message_id, "dinner two", "salmon")
        await conversation.send("dinner three")

        assert await _found(store, "dinner") == {"dinner one": False, "dinner two": True, "dinner three": True}
        assert await _found(store, "herring") == {"herring": False}
        await conversation.claimed()
        await conversation.finish()
        await conversation.switch(first.message_id)
        assert await _found(store, "dinner") == {"dinner one": True, "dinner two": False, "dinner three": False}
        assert edit.answer_id is not None

    @pytest.mark.promise("S-11", "S-15")
    async def test_stats_count_all_branches_and_the_active_one(self, store: Store, conversation: Conversation) -> None:
        first, *_ = await three(conversation)
        await conversation.edited(first.message_id, "A!", "a!")

        stats = await store.read(session_store.stats, conversation.id, "ann")
        assert (stats.message_count, stats.active_count, stats.turn_count) == (8, 2, 4)
        await conversation.switch(first.message_id)
        stats = await store.read(session_store.stats, conversation.id, "ann")
        assert (stats.message_count, stats.active_count, stats.turn_count) == (8, 6, 4)

    @pytest.mark.promise("T-02", "S-15")
    async def test_facts_are_drawn_from_the_active_branch(self, store: Store, conversation: Conversation) -> None:
        first, *_ = await three(conversation)
        await conversation.edited(first.message_id, "A!", "a!")
        material = await store.read(memories.material, conversation.id)
        assert material is not None
        assert [text_of(message) for message in material.messages] == ["A!", "a!"]

        await conversation.switch(first.message_id)
        material = await store.read(memories.material, conversation.id)
        assert material is not None
        assert [text_of(message) for message in material.messages] == ["A", "a1", "B", "b1", "C", "c1"]

    @pytest.mark.promise("T-02", "S-15")
    async def test_what_was_drawn_before_an_edit_is_not_drawn_again(
        self, store: Store, conversation: Conversation
    ) -> None:
        first, second, third = await three(conversation)
        await store.write(memories.keep, conversation.id, (), third.answer_id)
        assert await store.read(memories.material, conversation.id) is None
        await conversation.edited(second.message_id, "B!", "b!")

        material = await store.read(memories.material, conversation.id)
        assert material is not None
        assert material.known_id == first.answer_id

    @pytest.mark.promise("S-10", "S-15")
    async def test_trimming_counts_the_active_branch(self, conversation: Conversation) -> None:
        first, second, third = await three(conversation)
        edit = await conversation.edited(second.message_id, "B!", "b!")
        assert await conversation.trim(4) == 0  # the active branch has four
        await conversation.switch(third.message_id)
        assert await conversation.trim(4) == 1

        assert await conversation.texts() == ["B", "b1", "C", "c1"]
        for gone in (first.message_id, edit.message_id, edit.answer_id):  # what does not hang on it goes, too
            assert await conversation.store.read(messages.get, gone or "") is None
        told = b"".join(row.payload for row in await conversation.rows())
        assert b'"B!"' not in told
        assert b'"A"' not in told
        await conversation.agree()

    @pytest.mark.promise("S-10", "S-15")
    async def test_what_a_switch_has_told_goes_with_what_is_trimmed(self, conversation: Conversation) -> None:
        first, *_ = await three(conversation)
        await conversation.edited(first.message_id, "A!", "a!")
        await conversation.switch(first.message_id)
        assert await conversation.trim(2) >= 1

        told = b"".join(row.payload for row in await conversation.rows())
        assert b'"A"' not in told
        assert b'"b1"' not in told
        assert await conversation.texts() == ["C", "c1"]
        await conversation.agree()

    @pytest.mark.promise("S-10", "S-15")
    async def test_what_an_edit_has_told_of_its_branch_goes_with_what_is_trimmed(
        self, conversation: Conversation
    ) -> None:
        first, _, third = await three(conversation)
        await conversation.edited(first.message_id, "A!", "a!")
        await conversation.edited(third.message_id, "C!", "c!")  # brings back what leads to it
        assert await conversation.trim(2) >= 1

        told = b"".join(row.payload for row in await conversation.rows())
        assert b'"A"' not in told
        assert b'"b1"' not in told
        assert await conversation.texts() == ["C!", "c!"]
        await conversation.agree()

    @pytest.mark.promise("S-10", "S-15")
    async def test_trimming_waits_for_an_edit_that_needs_what_would_go(
        self, store: Store, conversation: Conversation
    ) -> None:
        first, second, third = await three(conversation)
        plan = await store.read(trimming.plan, conversation.id, 2)
        edit = await conversation.edit(second.message_id, "B!")
        assert (await store.read(trimming.plan, conversation.id, 2)).blocked
        assert not (await conversation.cut(plan, plan.slices[0])).rows  # planned before the edit came

        assert (await conversation.claimed()).turn.id == edit.turn.id
        assert await conversation.texts() == ["A", "a1", "B!", ""]
        await conversation.finish()
        await conversation.trim(2)
        assert await conversation.texts() == ["B!", ""]
        assert await store.read(messages.get, third.message_id) is None
        assert await store.read(messages.get, first.message_id) is None
        await conversation.agree()

    @pytest.mark.promise("S-10", "S-15")
    async def test_an_edit_of_what_was_trimmed_meanwhile_is_a_beginning(self, conversation: Conversation) -> None:
        """A first message hangs on nothing: nothing is kept for it."""
        first, *_ = await three(conversation)
        await conversation.edit(first.message_id, "A!")
        await conversation.trim(2)
        await conversation.claimed()
        await conversation.say("a!")
        await conversation.finish()

        assert await conversation.texts() == ["A!", "a!"]
        await conversation.agree()
        await conversation.switch((await conversation.page()).branches[(await conversation.page()).messages[0].id][0])
        assert await conversation.texts() == ["C", "c1"]
        await conversation.agree()


async def _found(store: Store, text: str) -> dict[str, bool]:
    """What ann finds, by its words, and whether it is active."""
    found = await searching.find(store, "ann", text)
    plain = [hit.snippet.replace("<mark>", "").replace("</mark>", "") for hit in found.data]
    return dict(zip(plain, (hit.active for hit in found.data), strict=True))
