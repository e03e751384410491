"""What a turn records of its steps, and how it waits for a person (R-08, R-10)."""

import pytest

from legato.core.errors import ApprovalNotFound
from legato.core.events import ToolCall
from legato.core.model import TextPart, ToolCallPart, ToolResultPart
from legato.core.prompt import NOT_STARTED
from legato.core.steps import Step, encoded
from legato.store import approvals, claiming, rescuing, steps
from legato.store.approvals import Asked
from legato.store.port import Store
from tests.support.conversation import Conversation, claimant

SAID = Step(number=1, kind="stream", name="m", digest="s", result=encoded("I pay."))
BEGUN = Step(number=0, kind="step", name="pay", digest="d")
DONE = Step(number=0, kind="step", name="pay", digest="d", result=encoded("paid"))
ASKING = Step(number=1, kind="ask", name="pay", digest="q")
HOUR_US = 3_600_000_000


async def asked(conversation: Conversation, tool: str | None = "pay", expires_us: int = HOUR_US) -> Asked:
    """The running turn asks."""
    running = conversation.running
    assert running is not None
    told = await conversation.store.write(
        approvals.ask, conversation.id, running.turn.id, running.epoch, ASKING, "Pay?", tool, expires_us
    )
    assert told is not None
    await conversation.took(told.rows)
    return told


class Approving:
    @pytest.mark.promise("R-08")
    async def test_only_the_owner_of_a_turn_records_its_steps(self, store: Store, conversation: Conversation) -> None:
        running = await conversation.start()
        key = conversation.id, running.turn.id
        assert not await store.write(steps.save, *key, running.epoch - 1, [DONE])
        assert not await store.write(steps.save, conversation.id, "trn_other", running.epoch, [DONE])
        assert await store.read(steps.of_turn, running.turn.id) == []

        assert await store.write(steps.save, *key, running.epoch, [DONE])
        assert await store.write(steps.save, *key, running.epoch, [DONE]), "once more does no harm"
        assert await store.read(steps.of_turn, running.turn.id) == [DONE]

        assert await store.write(steps.save, *key, running.epoch, [BEGUN, DONE])
        assert await store.read(steps.of_turn, running.turn.id) == [DONE], "the newest stands"

    @pytest.mark.promise("R-08")
    async def test_who_begins_anew_keeps_what_was_done_and_forgets_what_models_said(
        self, store: Store, conversation: Conversation
    ) -> None:
        await conversation.send()
        running = await conversation.claim(on_crash={"demo": "restart"})
        assert running is not None
        await store.write(steps.save, conversation.id, running.turn.id, running.epoch, [SAID, DONE])
        await conversation.rescue(running.turn.id)
        assert await store.read(steps.of_turn, running.turn.id) == [DONE]

    @pytest.mark.promise("R-08")
    async def test_steps_go_with_the_end_of_their_turn(self, store: Store, conversation: Conversation) -> None:
        running = await conversation.start()
        await store.write(steps.save, conversation.id, running.turn.id, running.epoch, [DONE])
        await conversation.say("Hi")
        await conversation.finish()
        assert await store.read(steps.of_turn, running.turn.id) == []

    @pytest.mark.promise("R-10")
    async def test_a_turn_that_waits_for_a_person_is_taken_by_nobody(
        self, store: Store, conversation: Conversation
    ) -> None:
        running = await conversation.start()
        await conversation.say("May I? ")
        waiting = await asked(conversation)
        assert waiting.waits
        assert await store.read(claiming.claimable, claimant(), 10) == []
        assert await store.write(claiming.claim, conversation.id, claimant()) is None
        assert await conversation.rescue(running.turn.id) is None
        assert await store.write(rescuing.park, conversation.id, running.turn.id, running.epoch) is None
        await conversation.agree()

        decided = await store.write(approvals.decide, waiting.approval.id, "ann", "allow")
        await conversation.took(decided.rows)

        assert await store.read(claiming.claimable, claimant(), 10) == [conversation.id]
        again = await conversation.claimed("wrk_2")
        assert again.resumed is not None
        assert again.resumed.parts == (TextPart("May I? "),)
        assert [(step.kind, step.value()) for step in again.resumed.steps] == [("ask", "allowed")]
        assert (again.turn.attempt, again.turn.id) == (2, running.turn.id)
        await conversation.say("Done.")
        await conversation.finish()
        await conversation.agree()

    @pytest.mark.promise("R-10")
    async def test_what_is_allowed_for_always_is_of_one_agent_owner_and_tool(
        self, store: Store, conversation: Conversation
    ) -> None:
        await conversation.start()
        first = await asked(conversation)
        await conversation.took((await store.write(approvals.decide, first.approval.id, "ann", "always")).rows)
        await conversation.claimed()
        assert not (await asked(conversation)).waits
        assert (await asked(conversation, tool="launch")).waits
        for owner, agent_id in (("bob", "demo"), ("ann", "other")):
            other = await Conversation.begin(store, owner, agent_id)
            await other.send()
            assert await other.claim(agents=(agent_id,)) is not None
            assert (await asked(other)).waits

    @pytest.mark.promise("R-10")
    async def test_what_was_asked_goes_with_its_session_and_with_what_is_cleared(
        self, store: Store, conversation: Conversation
    ) -> None:
        await conversation.start()
        waiting = await asked(conversation)
        await conversation.clear()
        with pytest.raises(ApprovalNotFound):
            await store.read(approvals.of_owner, "ann", waiting.approval.id)
        assert await store.read(approvals.waiting, "ann", 10) == []
        await conversation.agree()

    @pytest.mark.promise("R-08")
    async def test_the_same_call_once_more_is_not_taken_for_the_one_that_was_done(
        self, store: Store, conversation: Conversation
    ) -> None:
        """Each is known by its own id, not by what it asks for."""
        running = await conversation.start()
        call = ("pay", "{}")
        await conversation.tell(ToolCall(running.turn.id, conversation.answer_id, 0, "a", *call))
        done = Step(number=0, kind="step", name="pay", digest="d", call_id="a", result=encoded("paid"))
        await store.write(steps.save, conversation.id, running.turn.id, running.epoch, [done])
        await conversation.tell(ToolCall(running.turn.id, conversation.answer_id, 1, "b", *call))

        await conversation.rescue(running.turn.id)

        answer = (await conversation.state()).messages[-1]
        assert answer.parts == (
            ToolCallPart("a", *call),
            ToolCallPart("b", *call),
            ToolResultPart("a", "paid"),
            ToolResultPart("b", NOT_STARTED, is_error=True),
        )
        await conversation.agree()
