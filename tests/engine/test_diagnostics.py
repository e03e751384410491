"""What a process measures of itself: how turns ended, how long a rescue took, and what it forgets."""

from collections.abc import AsyncIterator
from contextlib import nullcontext
from datetime import UTC, datetime

import pytest

from legato.core.errors import Corrupted
from legato.core.events import Done, encode_lines
from legato.core.states import TerminalStatus
from legato.engine.diagnostics import Diagnostics
from legato.engine.settings import EngineSettings
from legato.store import workers
from legato.store.port import Row
from tests.engine.wiring import FaultyStore, opened, working
from tests.support.conversation import Conversation

pytestmark = [pytest.mark.anyio, pytest.mark.promise("E-09")]


class Clock:
    """Of both kinds; the test moves it."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
async def store(sqlite: str) -> AsyncIterator[FaultyStore]:
    async with opened(sqlite) as store:
        yield store


async def orphaned(store: FaultyStore, worker_id: str) -> Conversation:
    """A session of ann's, whose turn this worker has left open."""
    await store.write(workers.register, worker_id)
    conversation = await Conversation.begin(store)
    await conversation.send()
    await conversation.claimed(worker_id)
    await conversation.say("Once upon ")
    return conversation


async def test_a_rescue_lasts_from_the_last_sign_of_life(store: FaultyStore) -> None:
    clock, settings = Clock(), EngineSettings()
    store.shared = True
    conversation = await orphaned(store, "wrk_other")
    async with working(store, monotonic_s=clock) as sweeper:
        diagnostics = sweeper.engine.diagnostics
        await sweeper.lifeline.sweep()
        while diagnostics.told(0).rescue.total.count == 0:
            clock.now_s += settings.sweep_s
            await sweeper.lifeline.sweep()
        assert diagnostics.told(0).rescue.total.max_s == settings.dead_after_s
        (end,) = await diagnostics.ends(store, "ann", 100)
        assert (end.code, end.reason, end.session_id) == ("stream.reconciled", "worker_lost", conversation.id)
        assert diagnostics.told(0).turn_ends.total == {"worker_lost": 1}
        assert await diagnostics.ends(store, "bob", 100) == []


async def test_after_a_restart_it_lasts_from_the_start(store: FaultyStore) -> None:
    await orphaned(store, "wrk_before")
    clock = Clock()
    async with working(store, monotonic_s=clock) as restarted:
        clock.now_s += 1.5
        await restarted.lifeline.sweep()
        assert restarted.engine.diagnostics.told(0).rescue.total.max_s == 1.5


async def test_a_turn_that_is_tried_again_is_reconciled_too(store: FaultyStore) -> None:
    conversation = await Conversation.begin(store)
    diagnostics = Diagnostics()
    diagnostics.rescued(conversation.id, "trn_1", 0.1, again=True)
    (end,) = await diagnostics.ends(store, "ann", 100)
    assert (end.code, end.reason, end.turn_id) == ("stream.reconciled", "tried_again", "trn_1")


@pytest.mark.parametrize(
    ("status", "reason", "code", "counted"),
    [
        ("completed", "stop", "stream.completed", "stop"),
        ("cancelled", "interrupted", "stream.cancelled", "interrupted"),
        ("failed", "error", "stream.error", "error"),
        ("incomplete", "length", "stream.incomplete", "length"),
        ("completed", "a provider's own word", "stream.completed", "other"),
    ],
)
async def test_a_code_for_each_status_and_no_words_of_providers_in_the_numbers(
    store: FaultyStore, status: TerminalStatus, reason: str, code: str, counted: str
) -> None:
    conversation = await Conversation.begin(store)
    diagnostics = Diagnostics()
    done = Done("trn_1", status, reason, datetime.now(UTC))
    diagnostics.ended([Row(conversation.id, 1, 1, encode_lines([done]))])
    (end,) = await diagnostics.ends(store, "ann", 100)
    assert (end.code, end.reason) == (code, reason)
    assert diagnostics.told(0).turn_ends.total == {counted: 1}


async def test_a_response_that_breaks_says_why_and_one_that_is_sent_elsewhere_too(store: FaultyStore) -> None:
    conversation = await Conversation.begin(store)
    diagnostics = Diagnostics()
    with pytest.raises(Corrupted), diagnostics.stream(nullcontext(), "ann", conversation.id):
        raise Corrupted
    diagnostics.stopping = True
    with diagnostics.stream(nullcontext(), "ann"):
        assert diagnostics.told(0).streams.lists == 1
    closed, broken = await diagnostics.ends(store, "ann", 100)
    assert (broken.what, broken.code, broken.reason) == ("session", "stream.error", "corrupted")
    assert (closed.what, closed.code, closed.reason) == ("list", "stream.closed", "stopping")
    told = diagnostics.told(0)
    assert (told.streams.sessions, told.streams.lists, told.open[-1].sessions, told.open[-1].lists) == (0, 0, 1, 1)


async def test_the_oldest_end_makes_room_and_the_clients_take_none_of_the_servers(store: FaultyStore) -> None:
    clock = Clock()
    diagnostics = Diagnostics(clock_s=clock, monotonic_s=clock)
    diagnostics.closed("ann", None, None)
    for _ in range(10):
        clock.now_s += 60
        diagnostics.report("ann", [("client.stream.done", None, datetime.fromtimestamp(clock.now_s, UTC))] * 100)
    found = await diagnostics.ends(store, "ann", 2000)
    assert [end.code for end in found] == ["client.stream.done"] * 500 + ["stream.closed"]
