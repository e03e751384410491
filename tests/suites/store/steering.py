"""Steering: waiting messages handed to the running turn."""

import pytest

from legato.store import snapshots, steering
from legato.store.port import Store
from tests.support.conversation import Conversation


class Steering:
    @pytest.mark.promise("R-03")
    async def test_the_running_turn_takes_over_what_waits_to_steer_it(self, conversation: Conversation) -> None:
        running = await conversation.start("one")
        await conversation.say("so far")
        await conversation.send("plain")
        steers = [(await conversation.send(text, mode="steer")).turn for text in ("left", "right")]

        steered = await conversation.steer()
        assert steered is not None
        await conversation.say("turned")

        assert [message.turn_id for message in steered.messages] == [running.turn.id] * 2
        assert await conversation.texts() == ["one", "so far", "left", "right", "turned", "plain"]
        state = await conversation.state()
        assert [message.status for message in state.messages[:5]] == ["completed"] * 4 + ["in_progress"]
        assert state.turns[0].id == steers[-1].id
        assert (state.turns[0].status, state.turns[0].reason) == ("completed", "steered")
        await conversation.finish()
        assert await conversation.texts() == ["one", "so far", "left", "right", "turned", "plain"]

    @pytest.mark.promise("R-03")
    async def test_an_answer_that_has_not_begun_makes_room(self, conversation: Conversation) -> None:
        await conversation.start("one")
        await conversation.send("rather this", mode="steer")
        await conversation.steer()
        await conversation.say("this")
        await conversation.finish()

        assert await conversation.texts() == ["one", "rather this", "this"]

    async def test_a_turn_can_be_steered_again_and_again(self, conversation: Conversation) -> None:
        await conversation.start("one")
        for text in ("two", "three"):
            await conversation.send(text, mode="steer")
            await conversation.steer()
            await conversation.say(f"to {text}")
        await conversation.finish()

        assert await conversation.texts() == ["one", "two", "to two", "three", "to three"]

    async def test_there_is_nothing_to_take_over(self, store: Store, conversation: Conversation) -> None:
        await conversation.start("one")
        await conversation.send("plain")

        assert not await store.read(steering.waits, conversation.id)
        assert await conversation.steer() is None

        await conversation.send("steer", mode="steer")
        assert await store.read(steering.waits, conversation.id)

    @pytest.mark.promise("R-05")
    async def test_who_was_replaced_takes_over_nothing(self, conversation: Conversation) -> None:
        running = await conversation.start("one")
        await conversation.send("left", mode="steer")

        assert await conversation.steer(epoch=running.epoch - 1) is None
        await conversation.cancel(running.turn.id)
        assert await conversation.steer() is None
        assert (await conversation.claimed()).message.parts[0].text == "left"  # type: ignore[union-attr]

    @pytest.mark.promise("R-03")
    async def test_a_message_that_steered_nobody_is_answered_as_a_turn(self, conversation: Conversation) -> None:
        await conversation.start("one")
        steer = (await conversation.send("left", mode="steer")).turn
        await conversation.finish()

        assert (await conversation.claimed()).turn.id == steer.id

    @pytest.mark.promise("R-06")
    async def test_a_steered_turn_can_be_rescued(self, conversation: Conversation) -> None:
        running = await conversation.start("one")
        await conversation.say("before")
        await conversation.send("left", mode="steer")
        await conversation.steer()
        await conversation.say("after")
        await conversation.rescue(running.turn.id)

        assert await conversation.texts() == ["one", "before", "left", "after"]
        assert (await conversation.state()).messages[-1].status == "incomplete"

    async def test_a_steering_message_can_be_answered_again(self, conversation: Conversation) -> None:
        await conversation.start("one")
        steer = (await conversation.send("left", mode="steer")).turn
        await conversation.steer()
        await conversation.say("to the left")
        await conversation.finish()
        await conversation.again("retry", steer)
        await conversation.claimed()
        await conversation.say("again")

        assert await conversation.texts() == ["one", "left", "again"]

    @pytest.mark.promise("R-05")
    async def test_a_retry_whose_message_was_rolled_back_meanwhile_blocks_nobody(
        self, conversation: Conversation
    ) -> None:
        await conversation.start("one")
        steer = (await conversation.send("left", mode="steer")).turn
        await conversation.steer()
        retry = (await conversation.again("retry", steer)).turn
        rather = (await conversation.send("rather", mode="rollback")).turn
        last = (await conversation.send("last")).turn
        for turn in (rather, last):
            assert (await conversation.claimed()).turn.id == turn.id
            await conversation.say("Hi")
            await conversation.finish()

        told = await conversation.store.read(snapshots.turn, conversation.id, "ann", retry.id)
        assert told.status == "cancelled"
