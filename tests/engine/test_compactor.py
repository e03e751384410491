"""When the replay window has passed, a snapshot stands for the tokens, and every cursor still leads to the same (E-03)."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Connection

from legato import Legato
from legato.core.events import Snapshot, Token
from legato.core.fold import Fold
from legato.core.model import State
from legato.engine.compactor import Compactor
from legato.engine.settings import EngineSettings
from legato.store.port import Store
from legato.store.ticks import Boot
from tests.engine.talking import Talk, only, parse
from tests.http.puppets import Puppets
from tests.support.brief import BRIEF

pytestmark = [pytest.mark.anyio, pytest.mark.promise("E-03")]

WINDOW_S = EngineSettings().replay_window_s


class WallClock:
    """Microseconds since 1970, as the test has it."""

    def __init__(self) -> None:
        self.now_us = 1_800_000_000_000_000

    def __call__(self) -> int:
        return self.now_us

    def move(self, seconds: float) -> None:
        self.now_us += int(seconds * 1_000_000)


@pytest.fixture
def clock() -> WallClock:
    return WallClock()


@pytest.fixture
async def talk(sqlite: str, puppets: Puppets, clock: WallClock) -> AsyncIterator[Talk]:
    chat = Legato(sqlite, settings=BRIEF, environment={}, clock_us=clock)
    chat.agent("puppet")(puppets.answer)
    async with chat.lifespan():
        yield await Talk.begin(chat.engine)


class Machine:
    """A wall clock, and the time since the machine was started, which goes with it until somebody sets the clock."""

    def __init__(self, clock: WallClock) -> None:
        self.boot = Boot("a test", lambda: self._elapsed_us)
        self._elapsed_us = 5_000_000
        self._clock = clock

    def wait(self, seconds: float) -> None:
        self._clock.move(seconds)
        self._elapsed_us += int(seconds * 1_000_000)


@pytest.fixture
def machine(clock: WallClock) -> Machine:
    return Machine(clock)


@pytest.fixture
async def compactor(talk: Talk, machine: Machine) -> Compactor:
    """One that has ticked before."""
    compactor = Compactor(store=talk.engine.store, settings=EngineSettings(), boot=machine.boot)
    await compactor.step()
    return compactor


async def told_slowly(talk: Talk, puppets: Puppets, *words: str) -> str:
    """A turn each of whose words is an event; its id."""
    turn = await talk.send()
    puppet = await puppets.of(turn.id)
    so_far = ""
    for word in words:
        puppet.say(word)
        so_far += word
        await talk.said(so_far)
    puppet.end()
    await talk.ended(turn.id)
    return turn.id


async def test_tokens_become_a_snapshot_when_their_time_has_come(
    talk: Talk, puppets: Puppets, compactor: Compactor, machine: Machine
) -> None:
    await told_slowly(talk, puppets, "Once ", "upon ", "a time.")
    before = await talk.told()
    state = await talk.state()
    machine.wait(WINDOW_S - 1)
    await compactor.step()
    assert await talk.told() == before, "the window has not passed"
    machine.wait(2)
    await compactor.step()
    after = await talk.told()
    last = max(seq for seq, event in before if isinstance(event, Token))
    assert only(Token, after) == []
    assert [seq for seq, event in after if isinstance(event, Snapshot)] == [last]
    assert [line for line in after if not isinstance(line[1], Snapshot)] == [
        line for line in before if not isinstance(line[1], Token)
    ]
    assert await talk.state() == state


async def test_every_cursor_of_before_leads_to_the_same_state(
    talk: Talk, puppets: Puppets, compactor: Compactor, machine: Machine
) -> None:
    moments: list[tuple[State, int]] = []
    turn = await talk.send()
    puppet = await puppets.of(turn.id)
    for text in ("Once ", "upon ", "a time."):
        puppet.say(text)
        await talk.until(lambda event, text=text: getattr(event, "text", "") == text)  # type: ignore[misc]
        state, cursor = await talk.engine.snapshot("ann", talk.id)
        moments.append((state, cursor.seq))
    puppet.end()
    await talk.ended(turn.id)
    machine.wait(WINDOW_S + 1)
    await compactor.step()
    final = await talk.state()
    for taken, seq in [*moments, (None, 0)]:
        with talk.engine.hub.reader(talk.id, seq) as reader:
            chunk = await reader.next(0)
        assert chunk is not None
        assert Fold(taken).apply_all(event for _, event in parse(chunk.frames)).state() == final


async def test_a_damaged_turn_stays_as_it_is_and_is_reported_once(
    talk: Talk, puppets: Puppets, compactor: Compactor, machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = await told_slowly(talk, puppets, "Once ", "upon.")
    fine = await Talk.begin(talk.engine)
    await told_slowly(fine, puppets, "Fine.")
    store: Store = talk.engine.store
    await store.write(_damage, damaged)
    machine.wait(WINDOW_S + 1)
    await compactor.step()
    assert f"turn {damaged} is damaged and was not compacted" in caplog.text
    assert only(Token, await fine.told()) == []
    caplog.clear()
    await compactor.step()
    assert caplog.text == ""


async def test_turns_that_never_ran_and_that_are_running_are_left_alone(
    talk: Talk, puppets: Puppets, compactor: Compactor, machine: Machine
) -> None:
    turn = await talk.send()
    puppet = await puppets.of(turn.id)
    puppet.say("Still ")
    await talk.said("Still ")
    waiting = await talk.send("Later")
    await talk.cancel(waiting.id)
    machine.wait(10 * WINDOW_S)
    await compactor.step()
    assert len(only(Token, await talk.told())) == 1
    puppet.say("here.")
    puppet.end()
    assert (await talk.ended(turn.id)).status == "completed"


async def test_a_clock_that_is_put_forward_compacts_nothing_before_its_time(
    talk: Talk,
    puppets: Puppets,
    clock: WallClock,
    machine: Machine,
    compactor: Compactor,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await told_slowly(talk, puppets, "Once ", "upon ", "a time.")
    before = await talk.told()
    clock.move(30 * WINDOW_S)
    await compactor.step()
    assert "the clock was put forward by 2592000 s" in caplog.text
    machine.wait(WINDOW_S - 60)
    await compactor.step()
    assert await talk.told() == before, "the window has not passed, whatever the clock says"
    machine.wait(61)
    caplog.clear()
    await compactor.step()
    assert only(Token, await talk.told()) == []
    assert caplog.text == ""


async def test_another_process_knows_that_the_clock_was_put_forward(
    talk: Talk, puppets: Puppets, clock: WallClock, machine: Machine, compactor: Compactor
) -> None:
    await told_slowly(talk, puppets, "Once.")
    before = await talk.told()
    clock.move(30 * WINDOW_S)
    restarted = Compactor(store=talk.engine.store, settings=EngineSettings(), boot=machine.boot)
    await restarted.step()
    assert await talk.told() == before


async def test_a_clock_that_is_put_right_again_is_trusted_at_once(
    talk: Talk, puppets: Puppets, clock: WallClock, machine: Machine, compactor: Compactor
) -> None:
    await told_slowly(talk, puppets, "Once ", "upon.")
    clock.move(30 * WINDOW_S)
    await compactor.step()
    clock.move(-30 * WINDOW_S)
    machine.wait(WINDOW_S + 1)
    await compactor.step()
    assert only(Token, await talk.told()) == []


async def test_what_was_said_while_the_clock_was_slow_is_not_compacted_when_it_is_put_right(
    talk: Talk, puppets: Puppets, clock: WallClock, machine: Machine, compactor: Compactor
) -> None:
    clock.move(-2 * WINDOW_S)
    await compactor.step()
    await told_slowly(talk, puppets, "Once ", "upon.")
    before = await talk.told()
    clock.move(2 * WINDOW_S)
    await compactor.step()
    assert await talk.told() == before


def _damage(conn: Connection, turn_id: str) -> None:
    conn.exec_driver_sql("UPDATE journal SET crc = crc + 1 WHERE turn_id = ? AND batch = 1", (turn_id,))
