"""Turns that can wait give way to people who wait for first words; and nobody waits for those of a turn that is over."""

from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
import pytest

from legato.agents.registry import AgentSpec
from legato.agents.turn import Turn
from legato.engine import precedence as module
from legato.engine.precedence import Precedence
from legato.engine.run import SHUTDOWN
from legato.engine.stage import FENCED
from tests.engine.talking import Talk, true
from tests.engine.wiring import Wired, opened, working
from tests.http.puppets import Puppet, Puppets

pytestmark = [pytest.mark.anyio, pytest.mark.promise("R-15")]

Ending = Callable[[Wired, Talk, Puppet], Awaitable[object]]


HEARD = (2, 2)  # while it was accepted, and while it had said nothing


class Counted(Precedence):
    """One that counts."""

    entered = left = 0

    def __init__(self) -> None:
        super().__init__()
        self.heard = anyio.Event()

    def enter(self) -> None:
        self.entered += 1
        super().enter()

    def leave(self) -> None:
        self.left += 1
        assert self.left <= self.entered
        if self.left == HEARD[1]:
            self.heard.set()
        super().leave()


@pytest.fixture
async def worker(sqlite: str, puppets: Puppets) -> AsyncIterator[Wired]:
    agents = [
        AgentSpec(id="puppet", name="Puppet", run=puppets.answer),
        AgentSpec(id="brief", name="Brief", run=puppets.answer, max_turn_s=0.01),
        AgentSpec(id="none", name="None", run=puppets.answer, unavailable="it has no key"),
    ]
    async with opened(sqlite) as store, working(store, *agents) as worker:
        worker.runner.precedence = Counted()
        yield worker


def precedence_of(worker: Wired) -> Counted:
    precedence = worker.runner.precedence
    assert isinstance(precedence, Counted)
    return precedence


def counted(worker: Wired) -> tuple[int, int]:
    precedence = precedence_of(worker)
    return precedence.entered, precedence.left


async def speaks(worker: Wired, talk: Talk, puppet: Puppet) -> None:
    puppet.say("Hello ")
    await talk.said("Hello ")
    with anyio.fail_after(10):
        await precedence_of(worker).heard.wait()  # right after it has been heard
    assert counted(worker) == HEARD
    puppet.say("world")
    puppet.end()


async def thinks(worker: Wired, talk: Talk, puppet: Puppet) -> None:
    puppet.do(lambda: puppet.turn.reasoning("Hm."))
    await talk.until(lambda event: getattr(event, "text", "") == "Hm.")
    await true(lambda: counted(worker) == HEARD)
    puppet.end()


async def says_nothing(worker: Wired, talk: Talk, puppet: Puppet) -> None:
    puppet.end()


async def fails(worker: Wired, talk: Talk, puppet: Puppet) -> None:
    puppet.fail(RuntimeError("broken"))


async def is_cancelled(worker: Wired, talk: Talk, puppet: Puppet) -> None:
    await talk.cancel(puppet.turn.id)


async def speaks_and_is_cancelled(worker: Wired, talk: Talk, puppet: Puppet) -> None:
    puppet.say("Hello")
    await talk.said("Hello")
    await talk.cancel(puppet.turn.id)


async def is_cleared(worker: Wired, talk: Talk, puppet: Puppet) -> None:
    await worker.engine.clear("ann", talk.id)


async def is_fenced(worker: Wired, talk: Talk, puppet: Puppet) -> None:
    worker.runner.stop(puppet.turn.id, FENCED)


async def is_handed_over(worker: Wired, talk: Talk, puppet: Puppet) -> None:
    worker.dispatcher.accepting = False
    worker.runner.stop(puppet.turn.id, SHUTDOWN)


async def cannot_be_stored(worker: Wired, talk: Talk, puppet: Puppet) -> None:
    worker.store.faults = [RuntimeError("a commit that fails for good")]
    puppet.say("Hello")
    puppet.end()


async def takes_too_long(worker: Wired, talk: Talk, puppet: Puppet) -> None:
    await puppet.gone.wait()


@pytest.mark.parametrize(
    "ending",
    [
        speaks,
        thinks,
        says_nothing,
        fails,
        is_cancelled,
        speaks_and_is_cancelled,
        is_cleared,
        is_fenced,
        is_handed_over,
        cannot_be_stored,
        takes_too_long,
    ],
)
async def test_nobody_waits_any_more_whatever_ends_the_turn(
    worker: Wired, puppets: Puppets, ending: Ending, caplog: pytest.LogCaptureFixture
) -> None:
    talk = await Talk.begin(worker.engine, "brief" if ending is takes_too_long else "puppet")
    turn = await talk.send()
    puppet = await puppets.of(turn.id)
    await ending(worker, talk, puppet)
    await worker.runner.idle()
    assert counted(worker) == HEARD


async def test_nobody_waits_for_an_agent_that_cannot_answer(worker: Wired) -> None:
    talk = await Talk.begin(worker.engine, "none")
    await talk.ask()
    await worker.runner.idle()
    assert counted(worker) == HEARD


async def test_nobody_waits_for_a_background_turn(worker: Wired, puppets: Puppets) -> None:
    talk = await Talk.begin(worker.engine)
    turn = await talk.send(priority="background")
    puppet = await puppets.of(turn.id)
    puppet.say("Hello")
    puppet.end()
    await talk.ended(turn.id)
    assert counted(worker) == (0, 0)


@pytest.mark.parametrize("thinking", [False, True])
async def test_a_background_turn_pauses_until_the_first_words_of_a_person_are_heard(
    sqlite: str, puppets: Puppets, monkeypatch: pytest.MonkeyPatch, thinking: bool
) -> None:
    """Here the pause has no other end."""
    monkeypatch.setattr(module, "_PAUSE_S", 1000.0)
    monkeypatch.setattr(module, "_SLICE_S", 0.0)
    said = 0

    async def chatter(turn: Turn) -> AsyncIterator[str]:
        nonlocal said
        for _ in range(200):
            said += 1
            if thinking:
                await turn.reasoning("hm ")
            else:
                yield "word "
        yield "."

    agents = [
        AgentSpec(id="puppet", name="Puppet", run=puppets.answer),
        AgentSpec(id="chatter", name="Chatter", run=chatter),
    ]
    async with opened(sqlite) as store, working(store, *agents) as worker:
        person, patient = await Talk.begin(worker.engine, "puppet"), await Talk.begin(worker.engine, "chatter")
        awaited = await person.send()
        puppet = await puppets.of(awaited.id)
        turn = await patient.send(priority="background")
        await patient.until(lambda event: getattr(event, "text", "") in ("word ", "hm "))
        assert said == 1
        stopped = await Talk.begin(worker.engine, "chatter")
        other = await stopped.send(priority="background")
        await stopped.until(lambda event: getattr(event, "text", "") in ("word ", "hm "))
        assert (await stopped.cancel(other.id)).status == "cancelled"  # in mid-pause
        beside = await Talk.begin(worker.engine, "chatter")
        assert (await beside.ask()).status == "completed", "another person's turn does not pause"
        assert (await patient.turn(turn.id)).status == "in_progress"
        said_by_then = said
        puppet.say("Hello")
        await person.said("Hello")
        assert (await patient.ended(turn.id)).status == "completed"
        assert said == said_by_then + 199
