"""Welcomes: a turn without a message of a person's, whose answer is the root of the history."""

from typing import Any

import pytest

from legato.core.errors import TurnInProgress, TurnNotFinished
from legato.core.events import MessageEvent, SessionEvent, TurnEvent
from legato.engine.searching import find
from legato.store import rescuing
from legato.store.port import Store
from legato.store.welcoming import Welcome
from tests.suites.store.emptying import remains
from tests.support.conversation import Conversation


async def welcomed(store: Store, **fields: Any) -> Conversation:
    return await Conversation.begin(store, welcome=Welcome(**fields))


class Welcoming:
    @pytest.mark.promise("T-05")
    async def test_it_is_accepted_with_its_session(self, store: Store) -> None:
        conversation = await welcomed(store, model_id="openai:m", locale="sv")

        (_, created), (_, told) = await conversation.events()
        state = await conversation.state()

        assert created == SessionEvent(state.session)
        (turn,) = state.turns
        assert told == TurnEvent(turn)
        assert (turn.kind, turn.status, turn.model_id, turn.answer_id) == ("welcome", "queued", "openai:m", None)
        assert state.messages == ()
        await conversation.agree()

    @pytest.mark.promise("T-05")
    async def test_its_answer_is_the_root_of_the_history(self, store: Store) -> None:
        conversation = await welcomed(store, locale="sv")
        claimed = await conversation.claimed()
        assert (claimed.history, claimed.locale, claimed.message.parts) == ((), "sv", ())
        assert claimed.message.id == claimed.turn.answer_id == claimed.turn.message_id
        await conversation.say("Welcome!")
        ended = await conversation.finish()
        assert ended is not None
        assert (ended.turn.status, ended.turn.kind) == ("completed", "welcome")

        await conversation.answer("Hi", "Hello")

        root, asked, answered = (await conversation.state()).messages
        assert (root.role, root.message_type, root.parent_id) == ("assistant", "welcome", None)
        assert (asked.parent_id, answered.parent_id) == (root.id, asked.id)
        assert await conversation.texts() == ["Welcome!", "Hello", "Hi"]
        await conversation.agree()

    @pytest.mark.promise("T-05", "R-03")
    async def test_who_writes_meanwhile_is_answered_after_it(self, store: Store) -> None:
        conversation = await welcomed(store)
        await conversation.send("Hello")
        with pytest.raises(TurnInProgress):
            await conversation.send("Now!", mode="reject")

        assert (await conversation.claimed()).turn.kind == "welcome"
        await conversation.say("Welcome!")
        await conversation.finish()
        claimed = await conversation.claimed()
        assert [message.role for message in claimed.history or await self._history(conversation)] == [
            "assistant",
            "user",
        ]
        await conversation.agree()

    @pytest.mark.promise("T-05", "R-03")
    async def test_who_interrupts_keeps_what_it_said_and_who_rolls_back_does_not(self, store: Store) -> None:
        for mode, texts in (("interrupt", ["Wel", "Hello"]), ("rollback", ["Hello"])):
            conversation = await welcomed(store)
            await conversation.claimed()
            await conversation.say("Wel")
            await conversation.send("Hello", mode=mode)
            await conversation.claimed()
            assert [text for text in await conversation.texts() if text] == texts
            await conversation.agree()

    @pytest.mark.promise("T-05", "R-04")
    @pytest.mark.parametrize("runs", [False, True])
    async def test_it_can_be_cancelled_waiting_and_running(self, store: Store, runs: bool) -> None:
        conversation = await welcomed(store)
        (turn,) = (await conversation.state()).turns
        if runs:
            await conversation.claimed()
        ended = await conversation.cancel(turn.id)
        assert (ended.turn.status, ended.turn.reason) == ("cancelled", "cancelled")
        assert not any(isinstance(event, MessageEvent) for _, event in await conversation.events()) or runs
        await conversation.answer("Hi", "Hello")
        assert [text for text in await conversation.texts() if text] == ["Hello", "Hi"]
        await conversation.agree()

    @pytest.mark.promise("T-05", "R-06")
    async def test_its_owners_death_ends_it_with_what_it_said(self, store: Store) -> None:
        conversation = await welcomed(store)
        claimed = await conversation.claimed()
        await conversation.say("Welc")
        ended = await conversation.rescue(claimed.turn.id)
        assert ended is not None
        assert (ended.turn.status, ended.turn.reason) == ("incomplete", "worker_lost")
        assert await conversation.texts() == ["Welc"]
        await conversation.agree()

    @pytest.mark.promise("T-05")
    async def test_another_process_takes_over_what_has_said_nothing(self, store: Store) -> None:
        conversation = await welcomed(store)
        claimed = await conversation.claimed()
        parked = await store.write(rescuing.park, conversation.id, claimed.turn.id, claimed.epoch)
        assert parked is not None
        await conversation.took(parked.rows)

        again = await conversation.claimed("wrk_2")

        assert (again.turn.id, again.turn.attempt, again.history) == (claimed.turn.id, 2, ())
        await conversation.say("Welcome!")
        assert await store.write(rescuing.park, conversation.id, again.turn.id, again.epoch) is None, "it has spoken"
        await conversation.finish()
        assert await conversation.texts() == ["Welcome!"]
        await conversation.agree()

    @pytest.mark.promise("T-05", "R-03")
    async def test_it_can_be_steered(self, store: Store) -> None:
        for said, texts in (("Welcome!", ["Welcome!", "Hello", "Hi"]), ("", ["Hello", "Hi"])):
            conversation = await welcomed(store)
            claimed = await conversation.claimed()
            if said:
                await conversation.say(said)
            await conversation.send("Hello", mode="steer")
            steered = await conversation.steer()
            assert steered is not None
            assert await store.write(rescuing.park, conversation.id, claimed.turn.id, claimed.epoch) is None
            await conversation.say("Hi")
            ended = await conversation.finish()
            assert ended is not None
            assert await conversation.texts() == texts
            await conversation.agree()

    @pytest.mark.promise("T-05")
    async def test_a_retry_is_another_welcome_beside_it(self, store: Store) -> None:
        conversation = await welcomed(store, model_id="openai:m", locale="sv")
        (waiting,) = (await conversation.state()).turns
        with pytest.raises(TurnNotFinished):
            await conversation.again("retry", waiting)
        claimed = await conversation.claimed()
        await conversation.say("Welcome!")
        await conversation.finish()

        again = (await conversation.again("retry", claimed.turn)).turn
        assert (again.kind, again.source_turn_id, again.model_id) == ("welcome", claimed.turn.id, "openai:m")
        assert again.message_id != claimed.turn.message_id
        await conversation.agree()
        assert (await conversation.claimed()).locale == "sv"
        await conversation.say("Be welcome!")
        await conversation.agree()
        await conversation.finish()

        assert await conversation.texts() == ["Be welcome!"]
        assert [message.parent_id for message in (await conversation.state()).messages] == [None]
        await conversation.agree()

    @pytest.mark.promise("T-05")
    async def test_a_retry_that_is_rolled_back_leaves_no_one_on_the_old_branch(self, store: Store) -> None:
        conversation = await welcomed(store)
        claimed = await conversation.claimed()
        await conversation.say("Welcome!")
        await conversation.finish()
        await conversation.again("retry", claimed.turn)
        await conversation.claimed()
        await conversation.say("Be")
        await conversation.send("Hello", mode="rollback")
        await conversation.claimed()
        await conversation.agree()
        assert [text for text in await conversation.texts() if text] == ["Hello"]

    @pytest.mark.promise("T-05")
    async def test_it_can_be_continued(self, store: Store) -> None:
        conversation = await welcomed(store)
        claimed = await conversation.claimed()
        await conversation.say("Welc")
        await conversation.rescue(claimed.turn.id)
        await conversation.again("continue", claimed.turn)
        await conversation.claimed()
        await conversation.say("ome!")
        await conversation.finish()
        assert await conversation.texts() == ["Welc", "Go on.", "ome!"]
        await conversation.agree()

    @pytest.mark.promise("T-05", "E-03")
    async def test_its_tokens_are_compacted_like_any(self, store: Store) -> None:
        conversation = await welcomed(store)
        claimed = await conversation.claimed()
        for word in ("Wel", "come!"):
            await conversation.say(word)
        await conversation.finish()
        assert await conversation.compact(claimed.turn.id)
        await conversation.agree()

    @pytest.mark.promise("T-05", "S-14", "S-10")
    async def test_it_is_found_and_goes_when_it_is_the_oldest(self, store: Store) -> None:
        conversation = await welcomed(store)
        await conversation.claimed()
        await conversation.say("Welcome!")
        assert (await find(store, "ann", "welcome")).data == ()
        await conversation.finish()
        (hit,) = (await find(store, "ann", "welcome")).data
        assert (hit.role, hit.snippet) == ("assistant", "<mark>Welcome</mark>!")

        await conversation.answer("Hi", "Hello")
        await conversation.trim(2)
        assert await conversation.texts() == ["Hello", "Hi"]
        assert (await find(store, "ann", "welcome")).data == ()
        assert await remains(conversation, "Welcome!") == []
        await conversation.agree()

    async def test_it_goes_with_what_is_cleared(self, store: Store) -> None:
        conversation = await welcomed(store)
        await conversation.claimed()
        await conversation.say("Welcome!")
        await conversation.clear()
        assert await conversation.texts() == []
        await conversation.agree()

    async def _history(self, conversation: Conversation) -> list[Any]:
        return [m for m in (await conversation.state()).messages if m.status == "completed"]
