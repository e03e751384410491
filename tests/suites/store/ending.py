"""Endings: exactly one for each accepted turn (guarantee G4), whoever brings it."""

import asyncio
from typing import Any

import msgspec
import pytest

from legato.core.errors import TurnNotQueued
from legato.core.events import Done, ErrorEvent, Event, MessageEvent, TurnEvent, UsageEvent
from legato.core.model import ContextInfo, ErrorInfo, TextPart, Usage
from legato.core.states import TERMINAL
from legato.store import ending, rescuing, snapshots
from legato.store.ending import Ending
from legato.store.port import Store
from tests.support.conversation import Conversation, batch, error_of, meter, text_of


class Endings:
    @pytest.mark.promise("R-05", "R-11", "E-04")
    async def test_usage_and_done_are_the_last_words(self, conversation: Conversation) -> None:
        turn = (await conversation.start()).turn
        await conversation.say("Hi there")
        head = (await conversation.moment())[1]
        ended = await conversation.finish(usage=Usage(5, 7, 3, 12, 0.25))
        (_, usage), (done_seq, done) = await conversation.events(head)

        assert ended is not None
        assert isinstance(usage, UsageEvent)
        assert usage.usage() == ended.turn.usage == Usage(5, 7, 3, 12, 0.25)
        assert isinstance(done, Done)
        assert (done.turn_id, done.status, done.reason) == (turn.id, "completed", "stop")
        assert done_seq == await conversation.store.read(snapshots.done_seq, conversation.id, "ann", turn.id)
        answer = (await conversation.state()).messages[-1]
        assert (answer.status, answer.usage, text_of(answer)) == ("completed", ended.turn.usage, "Hi there")

    @pytest.mark.promise("R-11")
    async def test_usage_that_nobody_reported_is_estimated_and_says_so(self, conversation: Conversation) -> None:
        turn = await conversation.answer("four")

        assert turn.usage == Usage(10, 4, 0, 14, None, estimated=True)

    @pytest.mark.promise("R-05")
    async def test_a_turn_ends_once(self, conversation: Conversation) -> None:
        turn = await conversation.answer()
        before = await conversation.moment()

        assert await conversation.finish("failed", "error") is None
        assert await conversation.rescue(turn.id) is None
        assert (await conversation.cancel(turn.id)).rows == ()
        assert await conversation.say("more") is None
        assert await conversation.moment() == before

    @pytest.mark.promise("R-05", "R-04")
    async def test_of_many_endings_at_once_one_counts(self, store: Store) -> None:
        for _ in range(3):
            told = await Conversation.begin(store)
            claimed = await told.start()
            await told.say("so far")
            turn_id, how = claimed.turn.id, Ending(status="completed", reason="stop")
            cancelled = Ending(status="cancelled", reason="cancelled")
            lost = Ending(status="incomplete", reason="worker_lost")
            await asyncio.gather(
                store.write(ending.finish, told.id, turn_id, claimed.epoch, how, meter),
                store.write(ending.cancel, told.id, "ann", turn_id, cancelled, meter),
                store.write(rescuing.rescue, told.id, turn_id, "wrk_1", lost, meter),
                store.append([batch(claimed, 2, told.token(" and more"))]),
            )

            events = [event for _, event in await told.events()]
            done = [event for event in events if isinstance(event, Done)]
            assert [event.turn_id for event in done] == [turn_id]
            assert events[-1] == done[0]
            turn = (await told.state()).turns[0]
            assert (turn.status, turn.reason) == (done[0].status, done[0].reason)

    @pytest.mark.promise("R-05")
    async def test_an_owner_that_was_replaced_ends_nothing(self, conversation: Conversation) -> None:
        claimed = await conversation.start()
        conversation.running = msgspec.structs.replace(claimed, epoch=claimed.epoch - 1)

        assert await conversation.finish() is None
        assert (await conversation.state()).turns[0].status == "in_progress"

    @pytest.mark.promise("R-05", "R-12")
    async def test_a_failure_is_told_before_usage_and_done(self, conversation: Conversation) -> None:
        turn = (await conversation.start()).turn
        await conversation.say("so far")
        head = (await conversation.moment())[1]
        await conversation.finish("failed", "error", error=ErrorInfo("provider_cut", "It broke off."))
        told = [event for _, event in await conversation.events(head)]

        assert told[0] == ErrorEvent(turn.id, "provider_cut", "It broke off.")
        assert [event.event for event in told] == ["error", "usage", "done"]
        ended = (await conversation.state()).turns[0]
        assert (ended.status, ended.error) == ("failed", ErrorInfo("provider_cut", "It broke off."))
        assert error_of((await conversation.state()).messages[-1]) == ended.error

    @pytest.mark.promise("R-13")
    async def test_an_ending_that_explains_itself_is_one_done(self, conversation: Conversation) -> None:
        await conversation.start()
        head = (await conversation.moment())[1]
        error = ErrorInfo("agent_unavailable", "Avstängd.")
        await conversation.finish("failed", "agent_unavailable", error=error, text="Avstängd.")
        told = [event for _, event in await conversation.events(head)]

        assert [event.event for event in told] == ["done"]
        assert isinstance(told[0], Done)
        assert told[0].text == "Avstängd."
        turn = (await conversation.state()).turns[0]
        assert (turn.text, turn.usage) == ("Avstängd.", None)

    @pytest.mark.promise("R-06")
    @pytest.mark.parametrize(("status", "reason"), [("cancelled", "cancelled"), ("incomplete", "worker_lost")])
    async def test_an_answer_that_never_began_says_why(
        self, conversation: Conversation, status: Any, reason: str
    ) -> None:
        await conversation.start()
        await conversation.finish(status, reason)

        answer = (await conversation.state()).messages[-1]
        assert (answer.status, answer.parts) == (status, ())
        assert error_of(answer).code == reason
        assert error_of(answer).message
        assert (await conversation.state()).turns[0].error == answer.error

    @pytest.mark.promise("R-06")
    async def test_what_was_said_before_an_end_from_outside_stays(self, conversation: Conversation) -> None:
        turn = (await conversation.start()).turn
        await conversation.tell(conversation.token("so"), conversation.token(" far"))
        await conversation.rescue(turn.id)
        answer = (await conversation.state()).messages[-1]

        assert (answer.status, text_of(answer), answer.error) == ("incomplete", "so far", None)

    @pytest.mark.promise("R-06")
    async def test_only_the_turn_of_the_dead_is_rescued(self, conversation: Conversation) -> None:
        waiting = (await conversation.send()).turn
        assert await conversation.rescue(waiting.id) is None

        await conversation.claimed("wrk_alive")
        assert await conversation.rescue(waiting.id, "wrk_dead") is None
        assert (await conversation.state()).turns[0].status == "in_progress"
        assert await conversation.rescue(waiting.id, "wrk_alive") is not None

    @pytest.mark.promise("R-04")
    async def test_cancel_is_final_and_idempotent(self, conversation: Conversation) -> None:
        turn = (await conversation.start()).turn
        await conversation.say("so far")

        first = await conversation.cancel(turn.id)
        assert (first.turn.status, first.turn.reason) == ("cancelled", "cancelled")
        assert await conversation.say("more") is None
        assert await conversation.finish() is None

        again = await conversation.cancel(turn.id)
        assert (again.turn, again.rows) == (first.turn, ())
        assert await conversation.texts() == ["Hello", "so far"]

    @pytest.mark.promise("R-04")
    async def test_a_waiting_turn_that_is_cancelled_takes_its_message_along(self, conversation: Conversation) -> None:
        await conversation.start()
        waiting = (await conversation.send("never mind")).turn
        head = (await conversation.moment())[1]
        ended = await conversation.cancel(waiting.id)
        told: list[Event] = [event for _, event in await conversation.events(head)]

        assert ended.turn.status == "cancelled"
        assert told[0] == MessageEvent("removed", waiting.message_id)
        assert [event.event for event in told] == ["message", "done"]
        assert await conversation.texts() == ["Hello", ""]
        assert await conversation.say("undisturbed") is not None

    @pytest.mark.promise("R-03")
    async def test_a_waiting_turn_can_be_taken_back_and_no_other(self, conversation: Conversation) -> None:
        running = (await conversation.start()).turn
        waiting = (await conversation.send("never mind")).turn

        withdrawn = (await conversation.withdraw(waiting.id)).turn
        assert (withdrawn.status, withdrawn.reason) == ("cancelled", "withdrawn")
        for turn in (running, withdrawn):
            with pytest.raises(TurnNotQueued) as caught:
                await conversation.withdraw(turn.id)
            assert caught.value.details == {"turn_id": turn.id}

    async def test_a_waiting_retry_that_is_taken_back_leaves_its_message(self, conversation: Conversation) -> None:
        source = await conversation.answer()
        retry = (await conversation.again("retry", source)).turn
        await conversation.withdraw(retry.id)

        assert await conversation.texts() == ["Hello", "Hi"]

    async def test_what_was_planned_for_the_model_stays_with_the_turn(self, conversation: Conversation) -> None:
        turn = (await conversation.start()).turn
        context = ContextInfo(messages=3, tokens=70, dropped=1, budget=900)
        await conversation.tell(TurnEvent(msgspec.structs.replace(turn, context=context)))
        await conversation.say("Hi")
        await conversation.finish()

        stored = await conversation.store.read(snapshots.turn, conversation.id, "ann", turn.id)
        assert stored.context == context
        assert stored == (await conversation.state()).turns[0]

    async def test_every_end_has_a_terminal_status(self, conversation: Conversation) -> None:
        for status in sorted(TERMINAL):
            await conversation.start()
            await conversation.say("x")
            await conversation.finish(status, "reason", error=ErrorInfo("agent_error", "x"))
            assert (await conversation.state()).messages[-1].status == status
            assert (await conversation.state()).messages[-1].parts == (TextPart("x"),)
