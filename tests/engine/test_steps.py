"""Steps and crash policies: what was done is not done again, and readers end with the final text (promises R-07, R-08)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from legato import Turn, tool
from legato.agents.builtin import assistant
from legato.agents.registry import AgentSpec
from legato.core.errors import OutcomeUnknown, StepFailed, Unavailable
from legato.core.events import Event, Reset
from legato.core.fold import Fold
from legato.core.model import TextPart, ToolResultPart
from legato.core.prompt import NOT_STARTED, OUTCOME_UNKNOWN
from legato.engine import stage
from legato.engine.run import SHUTDOWN
from legato.store import rescuing, steps, workers
from legato.store.rescuing import MAX_CRASHES
from tests.engine.scripted import Act, CutOff, ScriptedModel, calls, forever
from tests.engine.talking import Talk, text_of
from tests.engine.wiring import FaultyStore, Wired, opened, working

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


class Deaths:
    """Workers on one store, of which the test kills one after the other."""

    def __init__(self, store: FaultyStore, spec: AgentSpec, model: ScriptedModel) -> None:
        self.store = store
        self.spec = spec
        self.model = model

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Wired]:
        async with working(self.store, self.spec, provider=self.model) as wired:
            yield wired

    async def kill(self, victim: Wired, rescuer: Wired) -> None:
        """What becomes of the turns of a process that is dead, when another notices."""
        victim.dispatcher.accepting = False
        await self.store.write(workers.remove, victim.dispatcher.worker_id)
        await rescuer.lifeline.sweep()


@asynccontextmanager
async def deaths(
    url: str, model: ScriptedModel, run: Callable[[Turn], AsyncIterator[str]] = assistant, **fields: Any
) -> AsyncIterator[Deaths]:
    spec = AgentSpec(id="demo", name="Demo", run=run, model_id="scripted:m", **fields)
    async with opened(url) as store:
        store.shared = True  # several workers on one store, also on SQLite
        yield Deaths(store, spec, model)


async def survived(
    url: str,
    model: ScriptedModel,
    struck: asyncio.Event,
    run: Callable[[Turn], AsyncIterator[str]] = assistant,
    said: str | None = None,
    **fields: Any,
) -> tuple[Talk, Any, list[tuple[int, Event]]]:
    """A turn whose first process dies once ``struck`` is set (and ``said`` is read): the turn, the state, the journal."""
    async with deaths(url, model, run, **fields) as world, world.worker() as one, world.worker() as two:
        talk = await Talk.begin(one.engine)
        sent = await talk.send()
        await struck.wait()
        if said is not None:
            await talk.said(said)
        await world.kill(one, two)
        there = talk.on(two.engine)
        turn = await there.ended(sent.id)
        told = await there.told()
        state = await there.state()
        assert Fold().apply_all(event for _, event in told).state() == state
        assert await world.store.read(steps.of_turn, turn.id) == []
        return there, (turn, state), told


def resets(told: list[tuple[int, Event]]) -> list[int]:
    return [event.part for _, event in told if isinstance(event, Reset)]


class Till:
    """A tool that must not be used twice: it notes each use, and may die in the middle of one."""

    def __init__(self) -> None:
        self.paid: list[int] = []
        self.paying = asyncio.Event()
        self.dies = False

    async def pay(self, amount: int) -> str:
        """Pay.

        Args:
            amount: in cents
        """
        self.paid.append(amount)
        self.paying.set()
        if self.dies and len(self.paid) == 1:
            await forever()
        return f"paid {amount}"


@pytest.mark.promise("R-07", "R-08")
@pytest.mark.parametrize("policy", ["continue", "restart"])
async def test_a_tool_that_was_done_is_not_done_again(url: str, policy: Any) -> None:
    till, struck = Till(), asyncio.Event()

    async def die() -> None:
        struck.set()
        await forever()

    model = ScriptedModel(["I pay. ", calls("pay", '{"amount":5}')], ["It is ", die])
    again: list[list[Act]] = [["I pay. ", calls("pay", '{"amount": 5}', "call_2")]] if policy == "restart" else []
    model.then(*again, ["done." if policy == "continue" else "It is done."])

    _, (turn, state), told = await survived(
        url, model, struck, said="I pay. It is ", tools=(till.pay,), on_crash=policy
    )

    assert till.paid == [5]
    assert (turn.status, turn.attempt) == ("completed", 2)
    assert text_of(state.messages[-1]) == "I pay. It is done."
    assert [part.output for part in state.messages[-1].parts if isinstance(part, ToolResultPart)] == ["paid 5"]
    assert resets(told) == ([] if policy == "continue" else [0])
    if policy == "continue":
        assert model.requests[-1].prefill
        assert [message.content for message in model.requests[-1].messages] == ["Hello", "I pay. ", "paid 5", "It is "]


@pytest.mark.promise("R-08")
async def test_a_call_of_an_answer_that_was_cut_off_is_not_made_by_who_comes_after_either(url: str) -> None:
    till, struck = Till(), asyncio.Event()

    async def run(turn: Turn) -> AsyncIterator[str]:
        async for text in turn.stream():
            yield text
        if not struck.is_set():
            struck.set()
            await forever()

    model = CutOff("length", ["I pay. ", calls("pay", '{"amount":5}')])

    _, (turn, state), _ = await survived(url, model, struck, run, tools=(till.pay,), on_crash="continue")

    assert (till.paid, len(model.requests)) == ([], 1)
    assert (turn.status, turn.reason, turn.attempt) == ("incomplete", "length", 2)
    assert state.messages[-1].parts[-1] == ToolResultPart("call_1", NOT_STARTED, True)


@pytest.mark.promise("R-08")
@pytest.mark.parametrize("repeatable", [False, True])
async def test_a_tool_that_had_begun_is_not_done_again_unless_it_may_be(url: str, repeatable: bool) -> None:
    till = Till()
    till.dies = True
    model = ScriptedModel([calls("pay", '{"amount":5}')], ["Hm."])

    _, (turn, state), told = await survived(
        url, model, till.paying, tools=(tool(repeatable=repeatable)(till.pay),), on_crash="continue"
    )

    assert till.paid == ([5, 5] if repeatable else [5])
    result = state.messages[-1].parts[1]
    assert isinstance(result, ToolResultPart)
    assert result.is_error is not repeatable
    assert result.output.startswith("paid 5" if repeatable else "outcome_unknown: ")
    assert (turn.status, turn.attempt, resets(told)) == ("completed", 2, [])
    assert len(model.requests) == 2, "what the model had said was recorded"


@pytest.mark.promise("R-08")
async def test_calls_that_got_no_result_say_what_is_known_of_them(url: str) -> None:
    till = Till()
    till.dies = True
    model = ScriptedModel(
        [calls("pay", '{"amount":1}', "a"), calls("pay", '{"amount":2}', "b", 1)], ["What about the payments?"]
    )

    there, (turn, state), _ = await survived(url, model, till.paying, tools=(till.pay,))

    assert (turn.status, turn.reason) == ("incomplete", "worker_lost")
    assert [part for part in state.messages[-1].parts if isinstance(part, ToolResultPart)] == [
        ToolResultPart("a", OUTCOME_UNKNOWN, is_error=True),
        ToolResultPart("b", NOT_STARTED, is_error=True),
    ]
    assert till.paid == [1]
    assert there.id == state.session.id


@pytest.mark.promise("R-07")
async def test_an_interrupted_answer_goes_on_where_it_stopped(url: str) -> None:
    struck = asyncio.Event()

    async def die() -> None:
        struck.set()
        await forever()

    model = ScriptedModel(["Once upon ", "a ti", die], ["me.", " The end."])

    _, (turn, state), told = await survived(url, model, struck, said="Once upon a ti", on_crash="continue")

    assert text_of(state.messages[-1]) == "Once upon a time. The end."
    assert resets(told) == []
    assert (turn.status, turn.attempt) == ("completed", 2)
    assert (model.requests[1].prefill, model.requests[1].messages[-1].content) == (True, "Once upon a ti")


@pytest.mark.promise("R-07")
async def test_a_model_that_can_not_be_prefilled_is_asked_to_go_on(url: str) -> None:
    struck = asyncio.Event()

    async def die() -> None:
        struck.set()
        await forever()

    model = ScriptedModel(["Once upon ", die], ["a time."])
    model.capabilities = ("text",)

    _, (turn, state), _ = await survived(url, model, struck, said="Once upon ", on_crash="continue")

    assert (turn.status, text_of(state.messages[-1])) == ("completed", "Once upon a time.")
    assert not model.requests[1].prefill
    assert [message.role for message in model.requests[1].messages] == ["user", "assistant", "user"]
    assert "Go on exactly where you stopped" in model.requests[1].messages[-1].content


@pytest.mark.promise("R-07")
async def test_who_takes_another_way_replaces_what_was_said_from_there_on(url: str) -> None:
    attempts, struck = [0], asyncio.Event()

    async def run(turn: Turn) -> AsyncIterator[str]:
        attempts[0] += 1
        await turn.reasoning("Hm. ")
        yield "The answer is "
        yield "forty-two" if attempts[0] == 1 else "forty-three"
        if attempts[0] == 1:
            struck.set()
            await forever()
        yield "."

    _, (turn, state), told = await survived(
        url, ScriptedModel(), struck, run, said="The answer is forty-two", on_crash="continue"
    )

    assert text_of(state.messages[-1]) == "The answer is forty-three."
    assert resets(told) == [1]
    assert turn.status == "completed"


@pytest.mark.promise("R-07")
async def test_who_says_less_the_second_time_takes_the_rest_back(url: str) -> None:
    attempts, struck = [0], asyncio.Event()

    async def run(turn: Turn) -> AsyncIterator[str]:
        attempts[0] += 1
        yield "Yes"
        if attempts[0] == 1:
            yield ", but"
            struck.set()
            await forever()

    _, (_, state), told = await survived(url, ScriptedModel(), struck, run, said="Yes, but", on_crash="continue")

    assert (text_of(state.messages[-1]), resets(told)) == ("Yes", [0])


@pytest.mark.promise("R-08")
async def test_steps_of_an_agent_s_own_are_recorded_and_replayed(url: str) -> None:
    done: list[str] = []
    struck, attempts = asyncio.Event(), [0]

    def search(query: str) -> tuple[str, int]:
        done.append(query)
        return query, len(done)

    def fails() -> None:
        done.append("fails")
        raise ValueError("no")

    async def run(turn: Turn) -> AsyncIterator[str]:
        attempts[0] += 1
        found = await turn.step("search", search, "wine")
        try:
            await turn.step("fails", fails)
        except StepFailed as error:
            found.append(error.message)
        yield f"{found}"
        if attempts[0] == 1:
            struck.set()
            await forever()

    _, (turn, state), told = await survived(
        url, ScriptedModel(), struck, run, said="['wine', 1, 'ValueError']", on_crash="continue"
    )

    assert done == ["wine", "fails"]
    assert (text_of(state.messages[-1]), resets(told)) == ("['wine', 1, 'ValueError']", [])
    assert turn.attempt == 2


@pytest.mark.promise("R-08")
async def test_a_step_that_had_begun_is_told_as_unknown(url: str) -> None:
    begun: list[str] = []
    struck = asyncio.Event()

    async def charge() -> None:
        begun.append("charge")
        struck.set()
        await forever()

    async def run(turn: Turn) -> AsyncIterator[str]:
        try:
            await turn.step("charge", charge)
        except OutcomeUnknown:
            yield "I don't know whether you were charged."

    _, (turn, state), _ = await survived(url, ScriptedModel(), struck, run, on_crash="continue")

    assert begun == ["charge"]
    assert (turn.status, text_of(state.messages[-1])) == ("completed", "I don't know whether you were charged.")


@pytest.mark.promise("R-08")
async def test_other_arguments_are_another_step_and_the_same_ones_later_are_not(url: str) -> None:
    done: list[int] = []
    struck, attempts = asyncio.Event(), [0]

    def add(n: int) -> int:
        done.append(n)
        return n

    async def run(turn: Turn) -> AsyncIterator[str]:
        attempts[0] += 1
        numbers = [1, 2] if attempts[0] == 1 else [3, 2, 1]
        yield str([await turn.step("add", add, n) for n in numbers])
        if attempts[0] == 1:
            struck.set()
            await forever()

    _, (_, state), told = await survived(url, ScriptedModel(), struck, run, said="[1, 2]", on_crash="continue")

    assert done == [1, 2, 3]
    assert (text_of(state.messages[-1]), resets(told)) == ("[3, 2, 1]", [0])


@pytest.mark.promise("R-07")
async def test_a_turn_that_kills_its_process_each_time_comes_to_its_end(url: str) -> None:
    begun = [asyncio.Event() for _ in range(MAX_CRASHES + 2)]
    attempts = [0]

    async def run(turn: Turn) -> AsyncIterator[str]:
        yield "Boom"
        begun[attempts[0]].set()
        attempts[0] += 1
        await forever()

    async with deaths(url, ScriptedModel(), run, on_crash="restart") as world, world.worker() as last:
        last.dispatcher.accepting = False
        talk = await Talk.begin(last.engine)
        sent = await talk.send()
        for attempt in range(MAX_CRASHES + 1):
            async with world.worker() as victim:
                await victim.dispatcher.sweep()
                await begun[attempt].wait()
                await world.kill(victim, last)
        turn = await talk.ended(sent.id)

    assert (turn.status, turn.reason, turn.attempt) == ("incomplete", "worker_lost", MAX_CRASHES + 1)
    assert attempts[0] == MAX_CRASHES + 1


@pytest.mark.promise("R-07")
async def test_nothing_is_tried_again_unasked(url: str) -> None:
    struck = asyncio.Event()

    async def die() -> None:
        struck.set()
        await forever()

    model = ScriptedModel(["Once ", die])

    _, (turn, state), _ = await survived(url, model, struck, said="Once ")

    assert (turn.status, turn.reason, turn.attempt, len(model.requests)) == ("incomplete", "worker_lost", 1, 1)
    assert state.messages[-1].parts == (TextPart("Once "),)


@pytest.mark.promise("R-08")
async def test_a_zombie_records_nothing(url: str) -> None:
    """Its process was taken for dead; what it does next is refused before it is done."""
    struck, wakes, awake = asyncio.Event(), asyncio.Event(), asyncio.Event()
    done: list[str] = []
    attempts = [0]

    async def note(what: str) -> str:
        done.append(what)
        return what

    async def run(turn: Turn) -> AsyncIterator[str]:
        attempts[0] += 1
        if attempts[0] == 1:
            struck.set()
            try:
                await wakes.wait()
                await turn.step("note", note, "zombie")
            finally:
                awake.set()
        yield "alive"

    async with (
        deaths(url, ScriptedModel(), run, on_crash="restart") as world,
        world.worker() as one,
        world.worker() as two,
    ):
        talk = await Talk.begin(one.engine)
        sent = await talk.send()
        await struck.wait()
        await world.kill(one, two)
        turn = await talk.on(two.engine).ended(sent.id)
        wakes.set()
        with anyio.fail_after(10):
            await awake.wait()

    assert (turn.status, turn.attempt, done) == ("completed", 2, [])


@pytest.mark.promise("R-08")
@pytest.mark.parametrize("policy", ["incomplete", "restart"])
async def test_calls_beside_each_other_are_not_made_while_the_store_takes_no_steps(
    url: str, policy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One save carries the steps of all of them: who has nothing left to save waits for it, too."""
    monkeypatch.setattr(stage, "RETRY_FOR_S", 0.2)
    till = Till()
    model = ScriptedModel(["I pay. ", *(calls("pay", f'{{"amount":{n}}}', f"call_{n}", n) for n in range(3))])
    async with deaths(url, model, tools=(tool(parallel=True)(till.pay),), on_crash=policy) as world:
        world.store.broken.add("save")
        async with world.worker() as worker:
            talk = await Talk.begin(worker.engine)
            turn = await talk.ask()
            results = (await talk.answer(turn.id)).parts[4:]

    assert (turn.status, turn.reason, till.paid) == ("incomplete", "store_unavailable", [])
    assert results == tuple(ToolResultPart(f"call_{n}", NOT_STARTED, is_error=True) for n in range(3))


@pytest.mark.promise("R-08")
async def test_who_stops_waiting_for_a_save_takes_it_from_nobody(url: str) -> None:
    done: list[str] = []
    early: list[str] = []
    saving, let, struck, attempts = asyncio.Event(), asyncio.Event(), asyncio.Event(), [0]

    async def note(what: str) -> str:
        done.append(what)
        return f"noted {what}"

    async def run(turn: Turn) -> AsyncIterator[str]:
        attempts[0] += 1
        yield "I note. "
        if attempts[0] == 1:
            first, second = (asyncio.ensure_future(turn.step("note", note, what)) for what in "ab")
            await saving.wait()
            early.extend(done)
            first.cancel()
            let.set()
            await second
            struck.set()
            await forever()
        try:
            yield await turn.step("note", note, "a")
        except OutcomeUnknown:
            yield await turn.step("note", note, "b")

    async with deaths(url, ScriptedModel(), run, on_crash="continue") as world:
        write = world.store.write

        async def slow(change: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            if change is steps.save:
                saving.set()
                await let.wait()
            return await write(change, *args, **kwargs)

        world.store.write = slow  # type: ignore[method-assign]
        async with world.worker() as one, world.worker() as two:
            talk = await Talk.begin(one.engine)
            sent = await talk.send()
            await struck.wait()
            await world.kill(one, two)
            there = talk.on(two.engine)
            turn = await there.ended(sent.id)
            texts = await there.texts()

    assert early == [], "the save that carries its step was on its way"
    assert (turn.status, done, texts[-1]) == ("completed", ["b"], "I note. noted b")


@pytest.mark.promise("R-08")
async def test_what_was_done_when_its_process_is_told_to_stop_is_recorded_before_the_turn_is_handed_over(
    url: str,
) -> None:
    till, recording, parking, let = Till(), asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def run(turn: Turn) -> AsyncIterator[str]:
        yield str(await turn.step("pay", till.pay, 5))

    async with deaths(url, ScriptedModel(), run, on_crash="continue") as world:
        write = world.store.write

        async def slow(change: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            if change is rescuing.park:
                parking.set()
            elif change is steps.save and till.paid:
                recording.set()
                await let.wait()
            return await write(change, *args, **kwargs)

        world.store.write = slow  # type: ignore[method-assign]
        async with world.worker() as one, world.worker() as two:
            talk = await Talk.begin(one.engine)
            sent = await talk.send()
            await recording.wait()
            one.dispatcher.accepting = False
            one.runner.stop_all(SHUTDOWN)
            with anyio.move_on_after(0.2):  # nothing tells that it waits
                await parking.wait()
            let.set()
            await one.runner.idle()
            await two.dispatcher.sweep()
            turn = await talk.on(two.engine).ended(sent.id)
            texts = await talk.texts()

    assert (turn.status, turn.attempt, till.paid, texts[-1]) == ("completed", 2, [5], "paid 5")


@pytest.mark.promise("R-08")
async def test_steps_whose_save_was_not_confirmed_enter_once_more_unharmed(url: str) -> None:
    """Also where the attempt that saves them has taken another way."""
    done: list[str] = []
    struck, attempts = asyncio.Event(), [0]

    async def note(what: str) -> str:
        done.append(what)
        return f"noted {what}"

    async def run(turn: Turn) -> AsyncIterator[str]:
        attempts[0] += 1
        yield "I note. "
        noted = [await turn.step("note", note, what) for what in ("ab" if attempts[0] == 1 else "cbad")]
        if attempts[0] == 1:
            struck.set()
            await forever()
        yield ", ".join(noted)

    async with deaths(url, ScriptedModel(), run, on_crash="continue") as world:
        write = world.store.write
        tries: list[bool] = []

        async def unlucky(change: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            result = await write(change, *args, **kwargs)
            if change is steps.save and attempts[0] == 2:
                tries.append(len(tries) % 2 == 1)
                if not tries[-1]:
                    raise Unavailable
            return result

        world.store.write = unlucky  # type: ignore[method-assign]
        async with world.worker() as one, world.worker() as two:
            talk = await Talk.begin(one.engine)
            sent = await talk.send()
            await struck.wait()
            await world.kill(one, two)
            there = talk.on(two.engine)
            turn = await there.ended(sent.id)
            texts = await there.texts()

    assert tries == [False, True] * 4, "two steps, each begun and done"
    assert (turn.status, done, texts[-1]) == (
        "completed",
        ["a", "b", "c", "d"],
        "I note. noted c, noted b, noted a, noted d",
    )


@pytest.mark.promise("R-07", "R-08")
async def test_after_steering_too_an_answer_goes_on_with_what_was_recorded(url: str) -> None:
    looking, seen, struck = asyncio.Event(), asyncio.Event(), asyncio.Event()
    till = Till()

    async def look() -> str:
        """Look."""
        looking.set()
        await seen.wait()
        return "seen"

    async def die() -> None:
        struck.set()
        await forever()

    model = ScriptedModel(
        ["I look. ", calls("look")], ["I pay. ", calls("pay", '{"amount":5}', "call_2")], ["It is ", die], ["done."]
    )
    async with (
        deaths(url, model, tools=(look, till.pay), on_crash="continue") as world,
        world.worker() as one,
        world.worker() as two,
    ):
        talk = await Talk.begin(one.engine)
        sent = await talk.send()
        await looking.wait()
        await talk.send("Pay five.", mode="steer")
        seen.set()
        await struck.wait()
        await talk.said("I pay. It is ")
        await world.kill(one, two)
        there = talk.on(two.engine)
        turn = await there.ended(sent.id)
        texts, told = await there.texts(), await there.told()

    assert (turn.status, turn.attempt, till.paid) == ("completed", 2, [5])
    assert texts == ["Hello", "I look. ", "Pay five.", "I pay. It is done."]
    assert (len(model.requests), resets(told)) == (4, []), "what the model had said was recorded"


@pytest.mark.promise("R-07")
@pytest.mark.parametrize("waits_in", ["the model", "the agent"])
async def test_a_reply_that_was_cut_off_is_not_recorded_as_a_whole_one(url: str, waits_in: str) -> None:
    """A task that the agent leaves behind reads on while its turn is handed over."""
    struck, going_on = asyncio.Event(), asyncio.Event()
    pumps: list[asyncio.Task[None]] = []

    async def wait() -> None:
        struck.set()
        await going_on.wait()

    async def run(turn: Turn) -> AsyncIterator[str]:
        said: asyncio.Queue[str | None] = asyncio.Queue()

        async def pump() -> None:
            async for piece in turn.stream():
                said.put_nowait(piece)
                if waits_in == "the agent":
                    await wait()
            said.put_nowait(None)

        pumps.append(asyncio.create_task(pump()))
        while (piece := await said.get()) is not None:
            yield piece

    pauses: list[Act] = [wait] if waits_in == "the model" else []
    model = ScriptedModel(["Once upon ", *pauses, "a time", " there was."], ["a time."])
    async with deaths(url, model, run, on_crash="continue") as world, world.worker() as one, world.worker() as two:
        talk = await Talk.begin(one.engine)
        sent = await talk.send()
        await struck.wait()
        await talk.said("Once upon ")
        world.store.waiting.clear()
        world.store.held.add("park")
        one.dispatcher.accepting = False
        one.runner.stop_all(SHUTDOWN)
        await world.store.waiting.wait()
        going_on.set()
        await asyncio.wait(pumps)
        world.store.released.set()
        await one.runner.idle()
        await two.dispatcher.sweep()
        there = talk.on(two.engine)
        turn = await there.ended(sent.id)
        texts, told = await there.texts(), await there.told()

    assert (turn.status, turn.attempt, texts[-1]) == ("completed", 2, "Once upon a time.")
    assert (resets(told), model.requests[1].prefill) == ([], True)
