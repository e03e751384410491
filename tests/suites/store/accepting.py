"""Accepting: once for each message of a client, in the way the client asks for."""

import asyncio
from typing import Any

import pytest

from legato.core.errors import MessageIdReused, QueueFull, SessionClosed, TurnInProgress
from legato.core.events import MessageEvent, TurnEvent
from legato.core.model import TextPart
from legato.store import accepting
from legato.store.port import Store
from tests.support.conversation import Conversation, meter


class Accepting:
    @pytest.mark.promise("R-02", "E-01")
    async def test_what_is_accepted_waits_and_is_told(self, conversation: Conversation) -> None:
        accepted = await conversation.send("Hello", model_id="openai:m", locale="sv-SE", message_type="question")
        turn = accepted.turn

        assert accepted.fresh
        assert (turn.status, turn.kind, turn.mode, turn.agent_id, turn.model_id) == (
            "queued",
            "send",
            "queue",
            "demo",
            "openai:m",
        )
        (first, added), (_, told) = await conversation.events(accepted.cursor_seq)
        assert first == accepted.cursor_seq + 1
        assert told == TurnEvent(turn)
        assert isinstance(added, MessageEvent)
        assert added.message is not None
        assert (added.op, added.message.role, added.message.status) == ("added", "user", "queued")
        assert (added.message.parts, added.message.message_type) == ((TextPart("Hello"),), "question")
        assert added.message.client_message_id == "mine-1"
        assert (await conversation.claimed()).locale == "sv-SE"

    @pytest.mark.promise("R-02")
    async def test_a_repeat_is_the_same_turn(self, conversation: Conversation) -> None:
        first = await conversation.send("Hello")
        repeat: dict[str, Any] = {"client_message_id": "mine-1"}
        for step in (conversation.claimed, conversation.finish, conversation.clear):
            again = await conversation.send("Hello", **repeat)
            assert (again.turn.id, again.cursor_seq, again.fresh, again.rows) == (
                first.turn.id,
                first.cursor_seq,
                False,
                (),
            )
            await step()

        again = await conversation.send("Hello", **repeat, mode="reject", queue_limit=0)
        assert (again.turn.status, again.fresh) == ("completed", False)

    @pytest.mark.promise("R-02")
    async def test_the_same_id_with_another_body_is_refused(self, conversation: Conversation) -> None:
        first = await conversation.send("Hello")
        before = await conversation.moment()

        with pytest.raises(MessageIdReused) as caught:
            await conversation.send("Goodbye", client_message_id="mine-1")

        assert caught.value.details == {"message_id": "mine-1"}
        assert await conversation.moment() == before
        assert (await conversation.send("Hello", client_message_id="mine-1")).turn == first.turn

    @pytest.mark.promise("R-02")
    async def test_sessions_have_message_ids_of_their_own(self, store: Store, conversation: Conversation) -> None:
        other = await Conversation.begin(store)

        one, two = await conversation.send("Hello"), await other.send("Bye", client_message_id="mine-1")

        assert (one.fresh, two.fresh) == (True, True)
        assert one.turn.id != two.turn.id

    @pytest.mark.promise("R-02")
    async def test_one_message_that_comes_many_times_at_once_enters_once(
        self, store: Store, conversation: Conversation
    ) -> None:
        send = conversation.ask("Hello")

        accepted = await asyncio.gather(*[store.write(accepting.accept, send, meter) for _ in range(12)])

        assert sum(one.fresh for one in accepted) == 1
        assert len({one.turn.id for one in accepted}) == 1
        assert await conversation.texts() == ["Hello"]
        assert len(await conversation.events()) == 3

    @pytest.mark.promise("R-03", "E-01")
    async def test_messages_that_come_at_once_are_answered_in_the_order_they_were_accepted_in(
        self, store: Store, conversation: Conversation
    ) -> None:
        sends = [conversation.ask(f"message {n}") for n in range(10)]

        accepted = await asyncio.gather(*[store.write(accepting.accept, send, meter) for send in sends])

        in_order = sorted(accepted, key=lambda one: one.cursor_seq)
        assert [turn.id for turn in (await conversation.state()).turns] == [one.turn.id for one in in_order]
        seqs = sorted((row.first_seq, row.last_seq) for one in accepted for row in one.rows)
        assert [first for first, _ in seqs[1:]] == [last + 1 for _, last in seqs[:-1]]

    @pytest.mark.promise("R-03")
    async def test_reject_is_refused_while_one_runs_or_waits(self, conversation: Conversation) -> None:
        running = (await conversation.start("one", mode="reject")).turn
        with pytest.raises(TurnInProgress) as caught:
            await conversation.send("two", mode="reject")
        assert caught.value.details == {"turn_id": running.id}

        waiting = (await conversation.send("three")).turn
        await conversation.finish()
        with pytest.raises(TurnInProgress) as caught:
            await conversation.send("four", mode="reject")
        assert caught.value.details == {"turn_id": waiting.id}

        await conversation.withdraw(waiting.id)
        assert (await conversation.send("five", mode="reject")).fresh

    @pytest.mark.promise("R-03", "R-04")
    async def test_interrupt_ends_the_running_one_keeps_its_text_and_runs_next(
        self, conversation: Conversation
    ) -> None:
        running = (await conversation.start("one")).turn
        await conversation.say("so far")
        await conversation.send("two")

        accepted = await conversation.send("three", mode="interrupt")

        assert accepted.ended_turn_id == running.id
        assert await conversation.say("too late") is None
        assert (await conversation.claimed()).turn.id == accepted.turn.id
        state = await conversation.state()
        assert [message.status for message in state.messages[:3]] == ["completed", "cancelled", "completed"]
        assert await conversation.texts() == ["one", "so far", "three", "", "two"]
        assert state.turns[0].reason == "interrupted"

    @pytest.mark.promise("R-03")
    @pytest.mark.parametrize("mode", ["interrupt", "rollback"])
    async def test_there_is_nothing_to_interrupt_in_an_idle_session(
        self, conversation: Conversation, mode: str
    ) -> None:
        accepted = await conversation.send("one", mode=mode)

        assert accepted.ended_turn_id is None
        assert (await conversation.claimed()).turn.id == accepted.turn.id

    async def test_who_interrupts_twice_is_answered_newest_first(self, conversation: Conversation) -> None:
        await conversation.start("one")
        await conversation.send("two", mode="interrupt")
        newest = await conversation.send("three", mode="interrupt")

        assert newest.ended_turn_id is None
        assert (await conversation.claimed()).turn.id == newest.turn.id

    @pytest.mark.promise("R-03")
    async def test_a_queue_has_an_end(self, conversation: Conversation) -> None:
        running = (await conversation.start("one")).turn
        await conversation.send("two", queue_limit=2)
        await conversation.send("three", queue_limit=2)
        for mode in ("queue", "steer", "interrupt", "rollback"):
            with pytest.raises(QueueFull) as caught:
                await conversation.send("four", mode=mode, queue_limit=2)
            assert caught.value.details == {"limit": 2}

        assert (await conversation.state()).turns[0].id == running.id
        assert await conversation.say("undisturbed") is not None

    async def test_a_closed_session_takes_no_turn_but_knows_its_old_ones(self, conversation: Conversation) -> None:
        first = await conversation.send("Hello")
        await conversation.change(closed=True)

        with pytest.raises(SessionClosed):
            await conversation.send("More")
        assert (await conversation.send("Hello", client_message_id="mine-1")).turn == first.turn

        await conversation.change(closed=False)
        assert (await conversation.send("More")).fresh

    async def test_activity_moves_with_a_message(self, conversation: Conversation) -> None:
        before = (await conversation.state()).session.last_activity
        turn = (await conversation.send()).turn

        assert (await conversation.state()).session.last_activity == turn.created_at > before
