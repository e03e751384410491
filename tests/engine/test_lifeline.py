"""Who is dead, who may not be called so, and what becomes of the turns that the dead left open (promise R-06)."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Connection

from legato import Legato
from legato.agents.registry import AgentSpec
from legato.core.errors import Unavailable
from legato.core.events import Done
from legato.core.model import ErrorInfo
from legato.engine.settings import EngineSettings
from legato.store import messages, turns, workers
from legato.store.port import Store
from tests.engine.talking import Talk, check_ending, only, text_of
from tests.engine.wiring import FaultyStore, Wired, opened, wire, working
from tests.http.puppets import Puppets
from tests.support.brief import BRIEF
from tests.support.conversation import Conversation, batch

pytestmark = [pytest.mark.anyio, pytest.mark.promise("R-06")]

DEAD_AFTER_S = EngineSettings().dead_after_s
SWEEP_S = EngineSettings().sweep_s


class Clock:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(sqlite: str) -> AsyncIterator[FaultyStore]:
    async with opened(sqlite) as store:
        store.shared = True  # several workers on one store, as on PostgreSQL
        yield store


@pytest.fixture
async def sweeper(store: FaultyStore, clock: Clock) -> AsyncIterator[Wired]:
    """A worker that sweeps when the test says so."""
    async with working(store, monotonic_s=clock) as sweeper:
        yield sweeper


@pytest.fixture
def spec(puppets: Puppets) -> AgentSpec:
    return AgentSpec(id="demo", name="Demo", run=puppets.answer)


async def known(store: Store) -> set[str]:
    return set(await store.read(workers.counters))


async def sweep(sweeper: Wired, clock: Clock, seconds: float, *, beating: str | None = None) -> None:
    """Sweeps every two seconds for so long, the other worker beating or not."""
    for _ in range(int(seconds / SWEEP_S)):
        clock.now_s += SWEEP_S
        if beating is not None:
            await sweeper.store.write(workers.beat, beating)
        await sweeper.lifeline.sweep()


async def orphaned(store: FaultyStore, said: str = "Once upon ", worker_id: str = "wrk_gone") -> Conversation:
    """A session whose turn is open and whose owner nobody knows."""
    conversation = await Conversation.begin(store)
    await conversation.send()
    await conversation.claimed(worker_id)
    if said:
        await conversation.say(said)
    return conversation


async def test_a_counter_that_stands_still_for_ten_seconds_is_death(sweeper: Wired, clock: Clock) -> None:
    await sweeper.store.write(workers.register, "wrk_other")
    await sweeper.lifeline.sweep()
    await sweep(sweeper, clock, DEAD_AFTER_S - SWEEP_S)
    assert "wrk_other" in await known(sweeper.store)
    await sweep(sweeper, clock, SWEEP_S)
    assert await known(sweeper.store) == {sweeper.dispatcher.worker_id}


async def test_who_beats_lives_for_ever(sweeper: Wired, clock: Clock) -> None:
    await sweeper.store.write(workers.register, "wrk_other")
    await sweeper.lifeline.sweep()
    await sweep(sweeper, clock, DEAD_AFTER_S - SWEEP_S)
    await sweep(sweeper, clock, SWEEP_S, beating="wrk_other")
    await sweep(sweeper, clock, DEAD_AFTER_S - SWEEP_S)
    await sweep(sweeper, clock, 3 * DEAD_AFTER_S, beating="wrk_other")
    assert "wrk_other" in await known(sweeper.store)


async def test_nobody_declares_himself_dead(sweeper: Wired, clock: Clock) -> None:
    await sweeper.lifeline.sweep()
    await sweep(sweeper, clock, 3 * DEAD_AFTER_S)
    assert await known(sweeper.store) == {sweeper.dispatcher.worker_id}


async def test_a_sweeper_that_was_asleep_begins_to_watch_anew(sweeper: Wired, clock: Clock) -> None:
    await sweeper.store.write(workers.register, "wrk_other")
    await sweeper.lifeline.sweep()
    await sweep(sweeper, clock, DEAD_AFTER_S - SWEEP_S)
    clock.now_s += 3 * SWEEP_S + 0.5
    await sweeper.lifeline.sweep()
    await sweep(sweeper, clock, DEAD_AFTER_S - SWEEP_S)
    assert "wrk_other" in await known(sweeper.store)
    await sweep(sweeper, clock, SWEEP_S)
    assert "wrk_other" not in await known(sweeper.store)


@pytest.mark.parametrize("broken", ["counters", "orphans"])
async def test_after_an_outage_of_the_store_nobody_is_called_dead_at_once(
    sweeper: Wired, clock: Clock, broken: str
) -> None:
    await sweeper.store.write(workers.register, "wrk_other")
    await sweeper.lifeline.sweep()
    await sweep(sweeper, clock, DEAD_AFTER_S - SWEEP_S)
    sweeper.store.broken = {broken}
    clock.now_s += SWEEP_S / 2
    with pytest.raises(Unavailable):
        await sweeper.lifeline.sweep()
    sweeper.store.broken = set()
    await sweep(sweeper, clock, DEAD_AFTER_S)
    assert "wrk_other" in await known(sweeper.store)
    await sweep(sweeper, clock, SWEEP_S)
    assert "wrk_other" not in await known(sweeper.store)


async def test_when_nobody_could_write_nobody_is_dead(sweeper: Wired, clock: Clock) -> None:
    """A store that can be read and not written: counters stand still because of it, not of their workers."""
    await sweeper.store.write(workers.register, "wrk_other")
    await sweeper.lifeline.sweep()
    await sweep(sweeper, clock, DEAD_AFTER_S - SWEEP_S)
    sweeper.store.broken = {"remove", "beat"}
    with pytest.raises(Unavailable):
        await sweep(sweeper, clock, SWEEP_S)
    sweeper.store.broken = set()
    await sweep(sweeper, clock, SWEEP_S)  # before the other has had time to beat
    assert "wrk_other" in await known(sweeper.store)


async def test_the_turns_of_the_dead_end_with_what_readers_have_seen(sweeper: Wired, clock: Clock) -> None:
    await sweeper.store.write(workers.register, "wrk_other")
    conversation = await orphaned(sweeper.store, worker_id="wrk_other")
    talk = Talk(sweeper.engine, "ann", conversation.id)
    await sweeper.lifeline.sweep()
    await sweep(sweeper, clock, DEAD_AFTER_S - SWEEP_S)
    assert [turn.status for turn in (await talk.state()).turns] == ["in_progress"]
    await sweep(sweeper, clock, SWEEP_S)
    (turn,) = (await talk.state()).turns
    assert (turn.status, turn.reason, turn.error) == ("incomplete", "worker_lost", None)
    assert await talk.texts() == ["Hello", "Once upon "]
    check_ending(await talk.told(), turn.id)
    assert conversation.running is not None
    late = batch(conversation.running, 2, conversation.token("too late"))
    assert await sweeper.store.append([late]) == [None], "the dead one wakes up and is refused"


async def test_an_answer_that_had_not_begun_is_not_left_empty(sweeper: Wired) -> None:
    conversation = await orphaned(sweeper.store, said="")
    await sweeper.lifeline.sweep()
    answer = (await Talk(sweeper.engine, "ann", conversation.id).state()).messages[-1]
    assert answer.error == ErrorInfo("worker_lost", "The answer had not begun when the server stopped.")


async def test_readers_here_see_the_end_of_a_rescued_turn(sweeper: Wired) -> None:
    conversation = await orphaned(sweeper.store)
    talk = Talk(sweeper.engine, "ann", conversation.id)
    assert conversation.running is not None
    await sweeper.lifeline.sweep()
    told = await talk.followed(conversation.running.turn.id)
    assert [done.reason for done in only(Done, told)] == ["worker_lost"]


async def test_after_a_rescue_the_next_waiting_turn_runs(
    store: FaultyStore, spec: AgentSpec, puppets: Puppets, clock: Clock
) -> None:
    conversation = await orphaned(store)
    next_turn = (await conversation.send("And then?")).turn
    async with working(store, spec, monotonic_s=clock) as worker:
        await worker.lifeline.sweep()
        puppet = await puppets.of(next_turn.id)
        assert [text_of(message) for message in puppet.turn.history] == ["Hello", "Once upon ", "And then?"]


async def test_a_turn_that_is_damaged_ends_too_and_none_of_its_words_are_served(sweeper: Wired) -> None:
    conversations = [await orphaned(sweeper.store) for _ in range(3)]
    await sweeper.store.write(_damage, conversations[1].id)
    await sweeper.lifeline.sweep()
    assert await sweeper.store.read(workers.orphans) == []
    damaged = conversations[1].running
    assert damaged is not None
    answer = await sweeper.store.read(messages.get, damaged.turn.answer_id or "")
    assert answer is not None
    assert (answer.status, answer.parts) == ("incomplete", ())
    assert answer.error is not None
    assert answer.error.code == "corrupted"


async def test_a_turn_that_somebody_else_has_ended_meanwhile_is_left_alone(
    sweeper: Wired, caplog: pytest.LogCaptureFixture
) -> None:
    conversation = await orphaned(sweeper.store)
    assert conversation.running is not None
    turn_id = conversation.running.turn.id
    sweeper.store.held = {"rescue"}
    sweeper.store.waiting.clear()

    async def end_it_first() -> None:
        await sweeper.store.waiting.wait()
        await conversation.cancel(turn_id)
        sweeper.store.released.set()

    sweeper.tasks.spawn(end_it_first(), "the other one")
    await sweeper.lifeline.sweep()
    assert (await Talk(sweeper.engine, "ann", conversation.id).turn(turn_id)).status == "cancelled"
    assert "was rescued" not in caplog.text


async def test_who_was_declared_dead_stops_his_turns_and_goes_on_under_a_new_name(
    store: FaultyStore, spec: AgentSpec, puppets: Puppets, caplog: pytest.LogCaptureFixture
) -> None:
    async with working(store, spec) as worker:
        talk = await Talk.begin(worker.engine)
        turn = await talk.send()
        puppet = await puppets.of(turn.id)
        puppet.say("Once upon ")
        await talk.said("Once upon ")
        before = worker.dispatcher.worker_id
        await worker.lifeline.beat()
        assert worker.dispatcher.worker_id == before
        await store.write(workers.remove, before)
        await worker.lifeline.beat()
        await puppet.gone.wait()
        assert worker.dispatcher.worker_id != before
        assert await known(store) == {worker.dispatcher.worker_id}
        assert "declared dead" in caplog.text
        assert (await talk.turn(turn.id)).status == "in_progress", "its end is for whoever rescues it"
        await worker.lifeline.sweep()
        assert (await talk.ended(turn.id)).reason == "worker_lost"
        second = await talk.send("Are you there?")
        (await puppets.of(second.id)).say("Yes.")
        (await puppets.of(second.id)).end()
        assert (await talk.ended(second.id)).status == "completed"


async def test_an_owner_looks_whether_its_turns_are_still_its_own(
    store: FaultyStore, spec: AgentSpec, puppets: Puppets
) -> None:
    async with working(store, spec) as worker:
        await worker.lifeline.check_fences()  # it runs nothing
        mine, lost = await Talk.begin(worker.engine), await Talk.begin(worker.engine)
        kept = await mine.send()
        taken = await lost.send()
        for turn in (kept, taken):
            (await puppets.of(turn.id)).say("Word. ")
        await mine.said("Word. ")
        await lost.said("Word. ")
        cancelled_elsewhere = wire(store, spec)
        await cancelled_elsewhere.engine.cancel("ann", lost.id, taken.id)
        await worker.lifeline.check_fences()
        await (await puppets.of(taken.id)).gone.wait()
        assert not (await puppets.of(kept.id)).gone.is_set()
        (await puppets.of(kept.id)).end()
        assert (await mine.ended(kept.id)).status == "completed"
        assert (await lost.ended(taken.id)).status == "cancelled"


async def test_who_resigns_leaves_nothing_to_wait_for(store: FaultyStore) -> None:
    async with working(store) as worker:
        await worker.lifeline.resign()
        assert await known(store) == set()
        store.down = True
        await worker.lifeline.resign()  # the store is away: the others find out by themselves
        store.down = False


async def test_where_one_process_serves_the_store_everybody_before_is_dead(store: FaultyStore) -> None:
    store.shared = False
    await store.write(workers.register, "wrk_1")
    await store.write(workers.register, "wrk_2")
    async with working(store) as worker:
        assert await known(store) == {worker.dispatcher.worker_id}


async def test_at_start_everything_open_ends_before_anybody_can_ask(sqlite: str, puppets: Puppets) -> None:
    async with opened(sqlite) as store:
        await store.write(workers.register, "wrk_gone")
        conversations = [await orphaned(store) for _ in range(3)]
        waiting = (await conversations[0].send("And then?")).turn
    chat = Legato(sqlite, settings=BRIEF, environment={})
    chat.agent("demo")(puppets.answer)
    async with chat.lifespan():
        for conversation in conversations:
            assert conversation.running is not None
            turn = await chat.engine.turn("ann", conversation.id, conversation.running.turn.id)
            assert (turn.status, turn.reason) == ("incomplete", "worker_lost")
        assert (await puppets.of(waiting.id)).turn.text == "And then?"


async def test_a_turn_is_never_rescued_by_its_age(sweeper: Wired, clock: Clock) -> None:
    await sweeper.store.write(workers.register, "wrk_other")
    conversation = await orphaned(sweeper.store, worker_id="wrk_other")
    await sweeper.store.write(_age)
    await sweeper.lifeline.sweep()
    await sweep(sweeper, clock, 3 * DEAD_AFTER_S, beating="wrk_other")
    assert conversation.running is not None
    assert conversation.running.turn.id in {turn_id for turn_id, _ in await sweeper.store.read(turns.live, "wrk_other")}


def _damage(conn: Connection, session_id: str) -> None:
    """One bit of what the running turn has said."""
    conn.exec_driver_sql("UPDATE journal SET crc = crc + 1 WHERE session_id = ? AND batch IS NOT NULL", (session_id,))


def _age(conn: Connection) -> None:
    conn.exec_driver_sql("UPDATE turns SET created_at = 1, started_at = 1")
