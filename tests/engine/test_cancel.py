"""Ending a turn from outside (promise R-04), and what a second message may do to the first (promise R-03)."""

from collections.abc import AsyncIterator

import anyio
import pytest

from legato import Legato, Turn
from legato.agents.builtin import assistant
from legato.core.errors import (
    MessageNotFound,
    QueueFull,
    SessionNotFound,
    TurnInProgress,
    TurnNotFinished,
    TurnNotFound,
    TurnNotQueued,
)
from legato.core.events import Done, ErrorEvent, MessageEvent, Token, UsageEvent
from legato.core.fold import Fold
from legato.core.model import ErrorInfo, TextPart
from legato.engine.engine import CONTINUE_TEXT
from legato.engine.settings import EngineSettings
from tests.engine.talking import Talk, only, text_of
from tests.http.puppets import Puppet, Puppets
from tests.support.brief import BRIEF
from tests.support.upstream import Upstream

pytestmark = pytest.mark.anyio


async def spoken(talk: Talk, puppets: Puppets, text: str = "Once upon ") -> tuple[str, Puppet]:
    """A running turn that has said something, and its puppet."""
    turn = await talk.send()
    puppet = await puppets.of(turn.id)
    puppet.say(text)
    await talk.said(text)
    return turn.id, puppet


@pytest.mark.promise("R-04", "R-05")
async def test_cancel_keeps_what_was_said_and_is_final(talk: Talk, puppets: Puppets) -> None:
    turn_id, puppet = await spoken(talk, puppets)
    turn = await talk.cancel(turn_id)
    assert (turn.status, turn.reason, turn.error) == ("cancelled", "cancelled", None)
    before = await talk.told()
    puppet.say("a time")
    await puppet.gone.wait()
    assert await talk.told() == before
    assert await talk.texts() == ["Hello", "Once upon "]
    assert (await talk.ended(turn_id)) == turn
    assert [event.reason for event in only(Done, before)] == ["cancelled"]
    assert [event.estimated for event in only(UsageEvent, before)] == [True]


@pytest.mark.promise("R-04")
async def test_cancel_is_idempotent_and_changes_no_other_ending(talk: Talk, puppets: Puppets) -> None:
    turn_id, _ = await spoken(talk, puppets)
    assert await talk.cancel(turn_id) == await talk.cancel(turn_id)
    second = await talk.send("Again")
    puppet = await puppets.of(second.id)
    puppet.say("Yes.")
    puppet.end()
    ended = await talk.ended(second.id)
    assert await talk.cancel(second.id) == ended
    assert ended.status == "completed"


@pytest.mark.promise("R-04", "R-06")
async def test_cancel_before_the_first_word_leaves_no_empty_answer_without_an_error(
    talk: Talk, puppets: Puppets
) -> None:
    turn = await talk.send()
    await puppets.of(turn.id)
    await talk.cancel(turn.id)
    said = ErrorInfo("cancelled", "The turn was cancelled before the answer began.")
    assert (await talk.answer(turn.id)).error == said
    assert only(ErrorEvent, await talk.told()) == []


@pytest.mark.promise("R-04")
async def test_a_waiting_turn_can_be_cancelled_and_never_runs(talk: Talk, puppets: Puppets) -> None:
    running, puppet = await spoken(talk, puppets)
    waiting = await talk.send("Forget it")
    last = await talk.send("Last")
    assert (await talk.cancel(waiting.id)).status == "cancelled"
    assert await talk.texts() == ["Hello", "Once upon ", "Last"]
    puppet.end()
    await talk.ended(running)
    puppet = await puppets.of(last.id)
    puppet.say("Well.")
    puppet.end()
    await talk.ended(last.id)
    assert not puppets.plays(waiting.id)
    assert await talk.texts() == ["Hello", "Once upon ", "Last", "Well."]


@pytest.mark.promise("S-16")
async def test_what_is_not_yours_cannot_be_cancelled(chat: Legato, talk: Talk, puppets: Puppets) -> None:
    turn_id, puppet = await spoken(talk, puppets)
    with pytest.raises(SessionNotFound):
        await chat.engine.cancel("bob", talk.id, turn_id)
    with pytest.raises(TurnNotFound):
        await chat.engine.cancel("ann", (await Talk.begin(chat.engine)).id, turn_id)
    puppet.end()
    assert (await talk.ended(turn_id)).status == "completed"


@pytest.mark.promise("R-04")
async def test_cancel_closes_the_upstream_at_once(sqlite: str, upstream: Upstream) -> None:
    chat = Legato(sqlite, settings=BRIEF, environment={"OPENAI_BASE_URL": upstream.url})
    chat.agent("model", model="openai:m")(assistant)
    async with chat.lifespan():
        talk = await Talk.begin(chat.engine)
        turn = await talk.send("stall after 3")
        await talk.said("1 2 3 ")
        await talk.cancel(turn.id)
        with anyio.fail_after(2):
            await (await upstream.exchange(0)).ended.wait()
        assert upstream.exchanges[0].outcome == "closed"
        assert text_of(await talk.answer(turn.id)) == "1 2 3 "


@pytest.mark.promise("R-04")
async def test_an_upstream_that_its_agent_forgot_is_closed_with_the_turn(sqlite: str, upstream: Upstream) -> None:
    async def answer(turn: Turn) -> AsyncIterator[str]:
        stream = turn.stream()
        yield await anext(stream)  # and never looks at it again
        await turn.status("executing")

    chat = Legato(sqlite, settings=BRIEF, environment={"OPENAI_BASE_URL": upstream.url})
    chat.agent("model", model="openai:m")(answer)
    async with chat.lifespan():
        talk = await Talk.begin(chat.engine)
        assert (await talk.ask("stall after 1")).status == "completed"
        with anyio.fail_after(2):
            await (await upstream.exchange(0)).ended.wait()


@pytest.mark.promise("R-04", "C-05")
async def test_after_a_cancel_the_model_sees_the_interrupted_answer(sqlite: str, upstream: Upstream) -> None:
    chat = Legato(sqlite, settings=BRIEF, environment={"OPENAI_BASE_URL": upstream.url})
    chat.agent("model", model="openai:m")(assistant)
    async with chat.lifespan():
        talk = await Talk.begin(chat.engine)
        turn = await talk.send("stall after 3")
        await talk.said("1 2 3 ")
        await talk.cancel(turn.id)
        silent = await talk.send("silence")
        await upstream.exchange(1)
        await talk.cancel(silent.id)
        assert (await talk.ask("count 2")).status == "completed"
    said = [(message["role"], message["content"]) for message in upstream.exchanges[2].body["messages"]]
    assert said[0] == ("user", "stall after 3")
    assert said[1][1].startswith("1 2 3 ")
    assert "interrupted" in said[1][1]
    assert said[-1][1].endswith("count 2")


@pytest.mark.promise("R-03")
async def test_waiting_turns_run_one_at_a_time_in_the_order_of_their_acceptance(talk: Talk, puppets: Puppets) -> None:
    turns = [await talk.send(f"{number}?") for number in range(4)]
    for number, turn in enumerate(turns):
        puppet = await puppets.of(turn.id)
        state = await talk.state()
        assert [t.status for t in state.turns if t.status != "completed"] == ["in_progress"] + ["queued"] * (3 - number)
        assert [puppets.plays(other.id) for other in turns] == [at <= number for at in range(4)]
        puppet.say(f"{number}!")
        puppet.end()
        await talk.ended(turn.id)
    assert await talk.texts() == ["0?", "0!", "1?", "1!", "2?", "2!", "3?", "3!"]


@pytest.mark.promise("R-03")
async def test_reject_is_refused_while_anything_runs_or_waits(talk: Talk, puppets: Puppets) -> None:
    turn_id, puppet = await spoken(talk, puppets)
    with pytest.raises(TurnInProgress) as refused:
        await talk.send("Now", mode="reject")
    assert refused.value.details == {"turn_id": turn_id}
    assert await talk.texts() == ["Hello", "Once upon "]
    puppet.end()
    await talk.ended(turn_id)
    turn = await talk.send("Now", mode="reject")
    assert (await puppets.of(turn.id)).turn.text == "Now"


@pytest.mark.promise("R-03")
async def test_interrupt_ends_the_running_one_keeps_its_text_and_goes_before_all_who_wait(
    talk: Talk, puppets: Puppets
) -> None:
    running, puppet = await spoken(talk, puppets)
    waiting = await talk.send("Patience")
    urgent = await talk.send("Stop", mode="interrupt")
    await puppet.gone.wait()
    assert ((await talk.ended(running)).status, (await talk.turn(running)).reason) == ("cancelled", "interrupted")
    puppet = await puppets.of(urgent.id)
    assert [text_of(message) for message in puppet.turn.history] == ["Hello", "Once upon ", "Stop"]
    assert not puppets.plays(waiting.id)
    puppet.say("Stopped.")
    puppet.end()
    await talk.ended(urgent.id)
    puppet = await puppets.of(waiting.id)
    puppet.say("Thank you.")
    puppet.end()
    await talk.ended(waiting.id)
    assert await talk.texts() == ["Hello", "Once upon ", "Stop", "Stopped.", "Patience", "Thank you."]


@pytest.mark.promise("R-03")
@pytest.mark.parametrize("mode", ["interrupt", "rollback"])
async def test_interrupt_and_rollback_of_nothing_are_a_send(talk: Talk, puppets: Puppets, mode: str) -> None:
    turn = await talk.send("Stop", mode=mode)  # type: ignore[arg-type]
    puppet = await puppets.of(turn.id)
    puppet.say("What?")
    puppet.end()
    assert (await talk.ended(turn.id)).status == "completed"


@pytest.mark.promise("R-03")
async def test_rollback_takes_the_running_one_out_of_history_and_journal(talk: Talk, puppets: Puppets) -> None:
    running, puppet = await spoken(talk, puppets, "Something embarrassing")
    turn = await talk.send("Anew", mode="rollback")
    await puppet.gone.wait()
    ended = await talk.turn(running)
    assert (ended.status, ended.reason) == ("cancelled", "rolled_back")
    puppet = await puppets.of(turn.id)
    assert [text_of(message) for message in puppet.turn.history] == ["Anew"]
    puppet.say("Fine.")
    puppet.end()
    await talk.ended(turn.id)
    told = await talk.told()
    assert await talk.texts() == ["Anew", "Fine."]
    assert "embarrassing" not in repr(told)
    assert "Hello" not in repr(told)
    assert len([e for e in only(MessageEvent, told) if e.op == "removed"]) == 2
    assert Fold().apply_all(event for _, event in told).state() == await talk.state()


@pytest.mark.promise("R-03")
async def test_steer_hands_its_message_to_the_running_agent_at_its_next_step(talk: Talk, puppets: Puppets) -> None:
    running, puppet = await spoken(talk, puppets)
    one = await talk.send("Shorter", mode="steer")
    two = await talk.send("And in French", mode="steer")
    puppet.steer()
    puppet.say("Il était ")
    puppet.end()
    ended = await talk.ended(running)
    assert ended.status == "completed"
    assert puppet.steered == ["Shorter", "And in French"]
    assert [text_of(m) for m in puppet.turn.history] == ["Hello", "Once upon ", "Shorter", "And in French"]
    assert await talk.texts() == ["Hello", "Once upon ", "Shorter", "And in French", "Il était "]
    for turn in (one, two):
        steered = await talk.ended(turn.id)
        assert (steered.status, steered.reason) == ("completed", "steered")
        assert not puppets.plays(turn.id)
    told = await talk.told()
    assert Fold().apply_all(event for _, event in told).state() == await talk.state()


@pytest.mark.promise("R-03")
async def test_steer_before_the_first_word_and_with_nothing_waiting(talk: Talk, puppets: Puppets) -> None:
    turn = await talk.send()
    puppet = await puppets.of(turn.id)
    await talk.send("More", mode="steer")
    puppet.steer()
    puppet.steer()
    puppet.say("Well.")
    puppet.end()
    await talk.ended(turn.id)
    assert puppet.steered == ["More"]
    assert await talk.texts() == ["Hello", "More", "Well."]


@pytest.mark.promise("R-03")
async def test_a_steering_message_that_nobody_takes_is_answered_by_itself(talk: Talk, puppets: Puppets) -> None:
    running, puppet = await spoken(talk, puppets)
    turn = await talk.send("Shorter", mode="steer")
    puppet.end()
    await talk.ended(running)
    puppet = await puppets.of(turn.id)
    puppet.say("Short.")
    puppet.end()
    assert (await talk.ended(turn.id)).reason == "stop"
    assert await talk.texts() == ["Hello", "Once upon ", "Shorter", "Short."]


async def test_who_is_no_longer_the_owner_is_given_no_steering_message(talk: Talk, puppets: Puppets) -> None:
    running, puppet = await spoken(talk, puppets)
    await talk.send("Shorter", mode="steer")
    taken: list[tuple[str, ...]] = []

    async def steer_late() -> None:
        with anyio.CancelScope(shield=True):
            await talk.cancel(running)
            taken.append(await puppet.turn.steering())

    puppet.do(steer_late)
    await puppet.gone.wait()
    assert taken in ([], [()])
    assert (await talk.turn(running)).status == "cancelled"


@pytest.mark.promise("R-03")
async def test_a_waiting_turn_can_be_withdrawn_a_running_one_not(talk: Talk, puppets: Puppets) -> None:
    running, puppet = await spoken(talk, puppets)
    waiting = await talk.send("Later")
    assert (await talk.engine.withdraw("ann", talk.id, waiting.id)).reason == "withdrawn"
    for turn_id in (waiting.id, running):
        with pytest.raises(TurnNotQueued):
            await talk.engine.withdraw("ann", talk.id, turn_id)
    puppet.end()
    await talk.ended(running)


@pytest.mark.promise("R-03")
async def test_so_many_may_wait_and_no_more(sqlite: str, puppets: Puppets) -> None:
    chat = Legato(sqlite, environment={}, settings=EngineSettings(queue_limit=2, grace_s=0.1, titles=False))
    chat.agent("puppet")(puppets.answer)
    async with chat.lifespan():
        talk = await Talk.begin(chat.engine)
        running = await talk.send()
        await puppets.of(running.id)
        waiting = [await talk.send() for _ in range(2)]
        with pytest.raises(QueueFull) as refused:
            await talk.send()
        assert refused.value.details == {"limit": 2}
        await talk.cancel(waiting[0].id)
        await talk.send()


@pytest.mark.promise("S-08")
async def test_clear_stops_what_runs_and_forgets_what_was_said(talk: Talk, puppets: Puppets) -> None:
    running, puppet = await spoken(talk, puppets, "Something embarrassing")
    waiting = await talk.send("Later")
    await talk.engine.clear("ann", talk.id)
    await puppet.gone.wait()
    assert (await talk.turn(running)).reason == (await talk.turn(waiting.id)).reason == "cleared"
    assert await talk.texts() == []
    assert "embarrassing" not in repr(await talk.told())
    turn = await talk.send("Anew")
    puppet = await puppets.of(turn.id)
    assert [text_of(message) for message in puppet.turn.history] == ["Anew"]
    puppet.say("Yes.")
    puppet.end()
    assert (await talk.ended(turn.id)).status == "completed"


async def test_continue_asks_the_agent_to_go_on(talk: Talk, puppets: Puppets) -> None:
    turn_id, _ = await spoken(talk, puppets)
    with pytest.raises(TurnNotFinished):
        await talk.engine.go_on("ann", talk.id, turn_id, None)
    await talk.cancel(turn_id)
    sent = await talk.engine.go_on("ann", talk.id, turn_id, "again-1")
    assert (sent.turn.kind, sent.turn.source_turn_id, sent.fresh) == ("continue", turn_id, True)
    puppet = await puppets.of(sent.turn.id)
    assert [text_of(message) for message in puppet.turn.history] == ["Hello", "Once upon ", CONTINUE_TEXT]
    assert puppet.turn.message.message_type == "continue"
    puppet.say("a time.")
    puppet.end()
    await talk.ended(sent.turn.id)
    repeated = await talk.engine.go_on("ann", talk.id, turn_id, "again-1")
    assert (repeated.turn.id, repeated.fresh) == (sent.turn.id, False)
    assert await talk.texts() == ["Hello", "Once upon ", CONTINUE_TEXT, "a time."]


async def test_retry_answers_the_same_message_again_on_a_branch_of_its_own(talk: Talk, puppets: Puppets) -> None:
    turn_id, _ = await spoken(talk, puppets)
    await talk.cancel(turn_id)
    sent = await talk.engine.retry("ann", talk.id, turn_id, None)
    puppet = await puppets.of(sent.turn.id)
    assert [text_of(message) for message in puppet.turn.history] == ["Hello"]
    puppet.say("There was ")
    puppet.end()
    await talk.ended(sent.turn.id)
    assert await talk.texts() == ["Hello", "There was "]
    with pytest.raises(TurnNotFound):
        await talk.engine.retry("ann", talk.id, "trn_nobody", None)


async def test_what_was_rolled_back_cannot_be_retried(talk: Talk, puppets: Puppets) -> None:
    turn_id, _ = await spoken(talk, puppets)
    await talk.send("Anew", mode="rollback")
    with pytest.raises(MessageNotFound):
        await talk.engine.retry("ann", talk.id, turn_id, None)


@pytest.mark.promise("R-01")
async def test_a_turn_goes_on_when_nobody_follows_it_and_when_its_sender_is_gone(talk: Talk, puppets: Puppets) -> None:
    followed, sender = anyio.Event(), anyio.CancelScope()
    ids: list[str] = []

    async def send_and_follow() -> None:
        with sender:
            ids.append((await talk.send()).id)
            followed.set()
            await talk.followed(ids[0])

    async with anyio.create_task_group() as group:
        group.start_soon(send_and_follow)
        await followed.wait()
        puppet = await puppets.of(ids[0])
        puppet.say("One ")
        await talk.said("One ")
        sender.cancel()
    puppet.say("two.")
    puppet.end()
    assert (await talk.ended(ids[0])).status == "completed"
    assert await talk.texts() == ["Hello", "One two."]
    assert "".join(event.text for event in only(Token, await talk.told())) == "One two."
    assert (await talk.answer(ids[0])).parts == (TextPart("One two."),)
