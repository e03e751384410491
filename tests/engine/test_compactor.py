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


def compactor(talk: Talk) -> Compactor:
    return Compactor(store=talk.engine.store, settings=EngineSettings())


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
    talk: Talk, puppets: Puppets, clock: WallClock
) -> None:
    await told_slowly(talk, puppets, "Once ", "upon ", "a time.")
    before = await talk.told()
    state = await talk.state()
    clock.move(WINDOW_S - 1)
    await compactor(talk).step()
    assert await talk.told() == before, "the window has not passed"
    clock.move(2)
    await compactor(talk).step()
    after = await talk.told()
    last = max(seq for seq, event in before if isinstance(event, Token))
    assert only(Token, after) == []
    assert [seq for seq, event in after if isinstance(event, Snapshot)] == [last]
    assert [line for line in after if not isinstance(line[1], Snapshot)] == [
        line for line in before if not isinstance(line[1], Token)
    ]
    assert await talk.state() == state


async def test_every_cursor_of_before_leads_to_the_same_state(talk: Talk, puppets: Puppets, clock: WallClock) -> None:
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
    clock.move(WINDOW_S + 1)
    await compactor(talk).step()
    final = await talk.state()
    for taken, seq in [*moments, (None, 0)]:
        with talk.engine.hub.reader(talk.id, seq) as reader:
            chunk = await reader.next(0)
        assert chunk is not None
        assert Fold(taken).apply_all(event for _, event in parse(chunk.frames)).state() == final


async def test_a_damaged_turn_stays_as_it_is_and_is_reported_once(
    talk: Talk, puppets: Puppets, clock: WallClock, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = await told_slowly(talk, puppets, "Once ", "upon.")
    fine = await Talk.begin(talk.engine)
    await told_slowly(fine, puppets, "Fine.")
    store: Store = talk.engine.store
    await store.write(_damage, damaged)
    clock.move(WINDOW_S + 1)
    await compactor(talk).step()
    assert f"turn {damaged} is damaged and was not compacted" in caplog.text
    assert only(Token, await fine.told()) == []
    caplog.clear()
    await compactor(talk).step()
    assert caplog.text == ""


async def test_turns_that_never_ran_and_that_are_running_are_left_alone(
    talk: Talk, puppets: Puppets, clock: WallClock
) -> None:
    turn = await talk.send()
    puppet = await puppets.of(turn.id)
    puppet.say("Still ")
    await talk.said("Still ")
    waiting = await talk.send("Later")
    await talk.cancel(waiting.id)
    clock.move(10 * WINDOW_S)
    await compactor(talk).step()
    assert len(only(Token, await talk.told())) == 1
    puppet.say("here.")
    puppet.end()
    assert (await talk.ended(turn.id)).status == "completed"


def _damage(conn: Connection, turn_id: str) -> None:
    conn.exec_driver_sql("UPDATE journal SET crc = crc + 1 WHERE turn_id = ? AND batch = 1", (turn_id,))
