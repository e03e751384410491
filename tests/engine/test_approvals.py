"""Approvals: an agent asks, no process waits, and the first answer counts (promise R-10)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, text

from legato import Turn, tool
from legato.agents.builtin import assistant
from legato.agents.registry import AgentSpec
from legato.core.errors import AlreadyDecided, ApprovalNotFound, GrantNotFound
from legato.core.events import ApprovalEvent, Event, Reset
from legato.core.fold import Fold
from legato.core.model import Approval, ToolResultPart
from legato.engine.settings import EngineSettings
from legato.store import workers
from tests.engine.scripted import ScriptedModel, calls
from tests.engine.talking import Talk, only, text_of, true
from tests.engine.wiring import FaultyStore, Wired, opened, working

pytestmark = [pytest.mark.anyio, pytest.mark.promise("R-10")]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def store(url: str) -> AsyncIterator[FaultyStore]:
    async with opened(url) as store:
        store.shared = True  # several workers on one store, also on SQLite
        yield store


class Mailer:
    """A tool that a person must allow."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def mail(self, to: str) -> str:
        """Send a mail."""
        self.sent.append(to)
        return f"sent to {to}"


async def asks(turn: Turn) -> AsyncIterator[str]:
    yield "I would like to. "
    yield f"It is {await turn.ask('May I?', tool='dance')}."


def spec(run: Any = asks, **fields: Any) -> AgentSpec:
    return AgentSpec(id="demo", name="Demo", run=run, **fields)


def is_asked(event: Event) -> bool:
    return isinstance(event, ApprovalEvent)


async def asked(talk: Talk) -> Approval:
    """What waits for Ann's answer, as soon as something does."""
    await talk.until(is_asked)
    (approval,) = await talk.engine.approvals.waiting(talk.owner)
    return approval


@asynccontextmanager
async def parked(store: FaultyStore, agent: AgentSpec | None = None, **fields: Any) -> AsyncIterator[tuple[Any, ...]]:
    """A worker, a talk, its turn, and what that asks."""
    async with working(store, agent or spec(), **fields) as wired:
        talk = await Talk.begin(wired.engine)
        turn = await talk.send()
        yield wired, talk, turn, await asked(talk)


@pytest.mark.parametrize(("decision", "end"), [("allow", "allowed"), ("deny", "denied"), ("always", "allowed")])
async def test_the_turn_is_parked_and_goes_on_with_the_answer(store: FaultyStore, decision: Any, end: str) -> None:
    async with parked(store) as (wired, talk, turn, approval):
        await wired.runner.idle()
        assert await store.read(workers.held, wired.dispatcher.worker_id) == [], "no process holds it"
        waiting = await talk.turn(turn.id)
        assert (waiting.status, waiting.phase) == ("in_progress", "awaiting_approval")
        assert (approval.question, approval.tool, approval.status) == ("May I?", "dance", "pending")
        assert (await talk.state()).approvals == (approval,)

        decided = await wired.engine.approvals.decide("ann", approval.id, decision)

        ended = await talk.ended(turn.id)
        told = await talk.told()
        state = await talk.state()
    assert decided.status == end
    assert text_of(state.messages[-1]) == f"I would like to. It is {end}."
    assert (ended.status, ended.attempt, state.approvals) == ("completed", 2, ())
    assert [event.approval.status for event in only(ApprovalEvent, told)] == ["pending", end]
    assert Fold().apply_all(event for _, event in told).state() == state


async def test_it_survives_its_process(store: FaultyStore) -> None:
    async with parked(store) as (wired, talk, turn, approval):
        await wired.runner.idle()
    async with working(store, spec()) as later:
        await later.lifeline.sweep()
        there = talk.on(later.engine)
        assert (await there.turn(turn.id)).status == "in_progress"

        await later.engine.approvals.decide("ann", approval.id, "allow")

        assert (await there.ended(turn.id)).status == "completed"
        assert await there.texts() == ["Hello", "I would like to. It is allowed."]


async def test_the_first_of_many_answers_counts(store: FaultyStore) -> None:
    async with parked(store) as (wired, talk, turn, approval):
        decisions: list[Any] = ["allow", "deny"] * 5
        answers = await asyncio.gather(
            *(wired.engine.approvals.decide("ann", approval.id, decision) for decision in decisions),
            return_exceptions=True,
        )
        await talk.ended(turn.id)
        (won,) = [answer for answer in answers if isinstance(answer, Approval)]
        lost = [answer for answer in answers if isinstance(answer, AlreadyDecided)]
        assert len(lost) == len(decisions) - 1
        assert {error.details["decided"] for error in lost} == {won.status}
        assert (await talk.texts())[-1].endswith(f"{won.status}.")
        assert await wired.engine.approvals.get("ann", approval.id) == won


@pytest.mark.promise("S-01")
async def test_somebody_else_s_is_not_there(store: FaultyStore) -> None:
    async with parked(store) as (wired, _, _, approval):
        approvals = wired.engine.approvals
        assert await approvals.waiting("bob") == []
        with pytest.raises(ApprovalNotFound):
            await approvals.get("bob", approval.id)
        with pytest.raises(ApprovalNotFound):
            await approvals.decide("bob", approval.id, "allow")
        assert (await approvals.get("ann", approval.id)).status == "pending"


async def test_what_nobody_answers_goes_on_without_an_answer(store: FaultyStore) -> None:
    async with parked(store) as (wired, talk, turn, approval):
        await wired.engine.approvals.step()
        assert (await talk.turn(turn.id)).status == "in_progress", "it is not time yet"

        await store.write(_make_late)
        with pytest.raises(AlreadyDecided):
            await wired.engine.approvals.decide("ann", approval.id, "allow")

        await talk.ended(turn.id)
        assert (await talk.texts())[-1] == "I would like to. It is expired."


async def test_expiry_is_looked_for(store: FaultyStore) -> None:
    async with parked(store) as (wired, talk, turn, _):
        await store.write(_make_late)

        await wired.engine.approvals.step()

        await talk.ended(turn.id)
        assert (await talk.texts())[-1] == "I would like to. It is expired."
        await wired.engine.approvals.step()


@pytest.mark.parametrize("mode", ["cancel", "interrupt", "rollback", "clear"])
async def test_a_turn_that_ends_takes_its_question_with_it(store: FaultyStore, mode: Any) -> None:
    async with parked(store) as (wired, talk, turn, approval):
        approvals = wired.engine.approvals
        if mode == "cancel":
            assert (await talk.cancel(turn.id)).status == "cancelled"
        elif mode == "clear":
            await wired.engine.clear("ann", talk.id)
        else:
            second = await talk.send("No!", mode=mode)
        assert approval.id not in [waiting.id for waiting in await approvals.waiting("ann")]
        with pytest.raises((AlreadyDecided, ApprovalNotFound)):
            await approvals.decide("ann", approval.id, "allow")
        if mode in ("interrupt", "rollback"):
            await talk.until(lambda event: is_asked(event) and getattr(event, "turn_id", "") == second.id)
            await talk.cancel(second.id)
        assert (await talk.state()).approvals == ()
        assert Fold().apply_all(event for _, event in await talk.told()).state() == await talk.state()


async def test_who_waits_behind_it_comes_next(store: FaultyStore) -> None:
    async with parked(store) as (wired, talk, turn, approval):
        behind = await talk.send("And then?")
        assert (await talk.turn(behind.id)).status == "queued"
        await wired.engine.approvals.decide("ann", approval.id, "deny")
        await talk.ended(turn.id)
        await talk.until(lambda event: is_asked(event) and getattr(event, "turn_id", "") == behind.id)


@pytest.mark.promise("R-08", "A-01")
async def test_a_tool_asks_first_and_what_is_allowed_for_always_is_not_asked_again(store: FaultyStore) -> None:
    mailer = Mailer()
    made = tool(approve=True)(mailer.mail)
    model = ScriptedModel(
        *([calls("mail", '{"to":"bob"}')], ["Done."]), *([calls("mail", '{"to":"eve"}', "call_2")], ["Done, too."])
    )
    agent = spec(assistant, model_id="scripted:m", tools=(made,))
    async with parked(store, agent, provider=model) as (wired, talk, turn, approval):
        assert mailer.sent == []
        assert (approval.question, approval.tool) == ('Use mail with {"to":"bob"}?', "mail")

        await wired.engine.approvals.decide("ann", approval.id, "always")
        await talk.ended(turn.id)
        assert mailer.sent == ["bob"]
        assert len(model.requests) == 2, "what the model had said was recorded"

        again = await talk.ask("Again")
        assert (again.status, again.attempt, mailer.sent) == ("completed", 1, ["bob", "eve"])
        events = only(ApprovalEvent, await talk.told(), again.id)
        assert [event.approval.status for event in events] == ["allowed"]

        (grant,) = await wired.engine.approvals.grants("ann")
        assert (grant.agent_id, grant.tool) == ("demo", "mail")
        assert await wired.engine.approvals.grants("bob") == []
        with pytest.raises(GrantNotFound):
            await wired.engine.approvals.revoke("bob", grant.id)
        await wired.engine.approvals.revoke("ann", grant.id)
        assert await wired.engine.approvals.grants("ann") == []


@pytest.mark.promise("R-08", "A-01")
async def test_an_answer_counts_for_no_other_call_that_only_begins_the_same(store: FaultyStore) -> None:
    mailer, systems = Mailer(), ["before a deploy", "after it"]

    async def run(turn: Turn) -> AsyncIterator[str]:
        async for piece in turn.stream(system=systems[0]):
            yield piece

    long = "a" * 10_000
    model = ScriptedModel(*([calls("mail", f'{{"to":"{long}{name}"}}')] for name in ("bob", "eve")))
    agent = spec(run, model_id="scripted:m", tools=(tool(approve=True)(mailer.mail),))
    async with parked(store, agent, provider=model) as (wired, talk, _, first):
        assert len(first.question) < 5_000
        assert first.question.startswith('Use mail with {"to":"aaa')
        assert "characters left out" in first.question
        assert first.question.endswith('aaabob"}?'), "nobody allows what ends otherwise than it seems to"
        del systems[0]  # the model is asked anew, and calls for somebody else

        await wired.engine.approvals.decide("ann", first.id, "allow")

        await talk.until(lambda event: isinstance(event, ApprovalEvent) and event.approval.id != first.id)
        (second,) = await wired.engine.approvals.waiting("ann")
        assert second.question.endswith('aaaeve"}?')
        assert mailer.sent == []


async def test_what_is_denied_is_not_done_and_the_model_hears_of_it(store: FaultyStore) -> None:
    mailer = Mailer()
    model = ScriptedModel([calls("mail", '{"to":"bob"}')], ["Then not."])
    agent = spec(assistant, model_id="scripted:m", tools=(tool(approve=True)(mailer.mail),))
    async with parked(store, agent, provider=model) as (wired, talk, turn, approval):
        await wired.engine.approvals.decide("ann", approval.id, "deny")
        await talk.ended(turn.id)
        result = (await talk.answer(turn.id)).parts[1]

    assert isinstance(result, ToolResultPart)
    assert (result.is_error, result.output.split(":")[0], mailer.sent) == (True, "not_allowed", [])


async def test_two_questions_are_asked_one_after_the_other(store: FaultyStore) -> None:
    async def run(turn: Turn) -> AsyncIterator[str]:
        yield f"{await turn.ask('First?')}, "
        yield f"{await turn.ask('Second?')}."

    async with parked(store, spec(run)) as (wired, talk, turn, first):
        await wired.engine.approvals.decide("ann", first.id, "allow")
        await talk.until(lambda event: isinstance(event, ApprovalEvent) and event.approval.question == "Second?")
        (second,) = await wired.engine.approvals.waiting("ann")
        await wired.engine.approvals.decide("ann", second.id, "deny")
        ended = await talk.ended(turn.id)

    assert (ended.attempt, ended.status) == (3, "completed")
    assert await _text(store, talk) == "allowed, denied."


async def test_an_attempt_that_is_slow_to_stop_costs_the_next_one_nothing(store: FaultyStore) -> None:
    """The person was faster than the agent that had asked, and the same process goes on with the answer."""
    leave, at_work, finish = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def run(turn: Turn) -> AsyncIterator[str]:
        try:
            yield f"It is {await turn.ask('May I?')}"
            at_work.set()
            await finish.wait()
            yield "."
        finally:
            await leave.wait()  # it closes a client

    async with parked(store, spec(run), settings=EngineSettings(close_upstream_s=120.0)) as (wired, talk, turn, asks):
        store.waiting.clear()
        store.held.add("live")
        fences = asyncio.ensure_future(wired.lifeline.check_fences())
        await store.waiting.wait()  # it has read that this worker owns nothing
        await wired.engine.approvals.decide("ann", asks.id, "allow")
        await at_work.wait()
        assert len(wired.runner.live) == 2
        store.released.set()
        await fences
        await _swept(wired)
        leave.set()
        await true(lambda: len(wired.runner.live) == 1)
        await _swept(wired)
        assert (await talk.turn(turn.id)).status == "in_progress"
        finish.set()
        ended = await talk.ended(turn.id)
        await wired.runner.idle()
        assert (ended.status, ended.attempt, await talk.texts()) == ("completed", 2, ["Hello", "It is allowed."])


async def _swept(wired: Wired) -> None:
    """Twice: one look may come between a claim and its answer."""
    for _ in range(2):
        await wired.lifeline.sweep()
        await wired.lifeline.check_fences()


@pytest.mark.promise("R-08")
@pytest.mark.parametrize("policy", ["incomplete", "restart", "continue"])
async def test_what_is_asked_after_steering_is_done_with_the_answer(store: FaultyStore, policy: Any) -> None:
    mailer = Mailer()
    looking, seen = asyncio.Event(), asyncio.Event()
    noted: list[str] = []

    async def look() -> str:
        """Look."""
        looking.set()
        await seen.wait()
        return "seen"

    async def run(turn: Turn) -> AsyncIterator[str]:
        await turn.step("note", noted.append, turn.session.id)
        async for piece in turn.stream():
            yield piece

    model = ScriptedModel(
        ["I look. ", calls("look")], ["I send. ", calls("mail", '{"to":"bob"}', "call_2")], ["It is sent."]
    )
    tools = (look, tool(approve=True)(mailer.mail))
    agent = spec(run, model_id="scripted:m", tools=tools, on_crash=policy)
    async with working(store, agent, provider=model) as wired:
        talk = await Talk.begin(wired.engine)
        turn = await talk.send()
        await looking.wait()
        await talk.send("Be polite.", mode="steer")
        seen.set()
        approval = await asked(talk)

        await wired.engine.approvals.decide("ann", approval.id, "allow")

        ended = await talk.ended(turn.id)
        texts, told = await talk.texts(), await talk.told()
    assert (ended.status, ended.attempt, mailer.sent, noted) == ("completed", 2, ["bob"], [talk.id])
    assert texts == ["Hello", "I look. ", "Be polite.", "I send. It is sent."]
    assert (len(model.requests), only(Reset, told)) == (3, []), "what the model had said was recorded"


@pytest.mark.promise("R-08", "R-10")
@pytest.mark.parametrize("decision", ["allow", "deny"])
async def test_the_same_call_after_steering_is_another_one(store: FaultyStore, decision: Any) -> None:
    """It is asked about anew, and neither the first one's answer nor its result is taken for its own."""
    sending, steered = asyncio.Event(), asyncio.Event()
    sent: list[str] = []

    async def mail(to: str) -> str:
        sending.set()
        await steered.wait()
        sent.append(to)
        return f"sent as number {len(sent)}"

    model = ScriptedModel(
        [calls("mail", '{"to":"bob"}', "call_1")], [calls("mail", '{"to":"bob"}', "call_2")], ["That is all."]
    )
    agent = spec(assistant, model_id="scripted:m", tools=(tool(approve=True)(mail),))
    async with working(store, agent, provider=model) as wired:
        talk = await Talk.begin(wired.engine)
        turn = await talk.send()
        first_asked = await asked(talk)
        await wired.engine.approvals.decide("ann", first_asked.id, "allow")
        await sending.wait()
        await talk.send("Once more.", mode="steer")
        steered.set()
        await talk.until(lambda event: isinstance(event, ApprovalEvent) and event.approval.id != first_asked.id)
        await wired.engine.approvals.decide("ann", (await asked(talk)).id, decision)
        ended = await talk.ended(turn.id)
        state = await talk.state()
    first, second = [
        part.output for message in state.messages for part in message.parts if isinstance(part, ToolResultPart)
    ]
    assert (ended.status, first) == ("completed", "sent as number 1")
    if decision == "allow":
        assert (sent, second) == (["bob", "bob"], "sent as number 2")
    else:
        assert (sent, second[:11]) == (["bob"], "not_allowed")


async def _text(store: FaultyStore, talk: Talk) -> str:
    async with working(store, spec()) as wired:
        return (await talk.on(wired.engine).texts())[-1]


async def test_deleting_the_session_takes_it_away(store: FaultyStore) -> None:
    async with parked(store) as (wired, talk, _, approval):
        await wired.engine.delete("ann", talk.id)
        assert await wired.engine.approvals.waiting("ann") == []
        with pytest.raises(ApprovalNotFound):
            await wired.engine.approvals.decide("ann", approval.id, "allow")
        with pytest.raises(ApprovalNotFound):
            await wired.engine.approvals.get("ann", approval.id)


def _make_late(conn: Connection) -> None:
    conn.execute(text("UPDATE approvals SET expires_at = 1 WHERE status = 'pending'"))
