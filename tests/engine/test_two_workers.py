"""Two Legatos on one PostgreSQL: what one accepts the other shows, ends, rescues and goes on with (X-09, R-03, R-04, R-06)."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import anyio
import asyncpg
import pytest
from sqlalchemy import Connection, text

from legato import Legato
from legato.core.errors import LegatoError
from legato.core.events import Done, TurnEvent
from legato.core.fold import Fold
from legato.doorbell import postgres as postgres_doorbell
from legato.doorbell.postgres import PostgresDoorbell
from legato.engine.settings import EngineSettings
from legato.store import claiming, workers
from tests.engine.talking import PATIENCE_S, Talk, check_ending, only, text_of
from tests.http.puppets import Puppets
from tests.support.conversation import claimant
from tests.support.server import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.promise("X-09")]

# Nothing is found out by looking, only by rings; the sweeps are quick and deaths are not.
SETTINGS = EngineSettings(
    look_s=1000.0, sweep_s=0.2, beat_s=1000.0, dead_after_s=1000.0, fence_s=1000.0, grace_s=2.0, titles=False
)


@dataclass
class Worker:
    """A Legato and the agents that it runs."""

    chat: Legato
    puppets: Puppets

    def talk(self, talk: Talk) -> Talk:
        return talk.on(self.chat.engine)


async def started(stack: AsyncExitStack, url: str, settings: EngineSettings = SETTINGS) -> Worker:
    worker = Worker(Legato(url, environment={}, settings=settings), Puppets())
    worker.chat.agent("puppet")(worker.puppets.answer)
    await stack.enter_async_context(worker.chat.lifespan())
    return worker


@pytest.fixture
async def pair(postgres: str) -> AsyncIterator[tuple[Worker, Worker]]:
    """Two workers that have begun on an empty database at the same time."""
    async with AsyncExitStack() as stack:
        yield await asyncio.gather(started(stack, postgres), started(stack, postgres))


@pytest.mark.promise("E-03", "E-06")
async def test_what_one_accepts_and_runs_is_followed_through_the_other(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    talk = await Talk.begin(one.chat.engine)
    turn = await talk.send()
    puppet = await one.puppets.of(turn.id)
    there = two.talk(talk)
    heard: list[object] = []

    async def follow() -> None:
        heard.extend(await there.followed(turn.id))

    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        for word in ("Once ", "upon ", "a time."):
            puppet.say(word)
            await anyio.wait_all_tasks_blocked()
        await there.said("Once upon a time.")
        puppet.end()
    assert heard == await talk.told()
    assert await there.state() == await talk.state()
    assert not two.puppets.plays(turn.id)


@pytest.mark.promise("E-06")
async def test_the_list_of_sessions_is_live_through_the_other(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    with two.chat.engine.lists.watch("ann") as watcher, two.chat.engine.lists.watch("bob") as stranger:
        talk = await Talk.begin(one.chat.engine)
        while talk.id not in (hints := await watcher.next(PATIENCE_S)):
            assert hints == {"": "refetch"}  # at first, and when the doorbell has connected
        assert hints == {talk.id: "changed"}
        assert talk.id not in await stranger.next(0)


@pytest.mark.promise("R-04")
async def test_a_cancel_through_the_other_stops_the_owner_by_its_ring(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    talk = await Talk.begin(one.chat.engine)
    turn = await talk.send()
    puppet = await one.puppets.of(turn.id)
    puppet.say("Once upon ")
    await talk.said("Once upon ")
    ended = await two.talk(talk).cancel(turn.id)
    assert (ended.status, ended.reason) == ("cancelled", "cancelled")
    before = await talk.told()
    with anyio.fail_after(2):
        await puppet.gone.wait()
    assert await talk.told() == before
    assert await talk.texts() == ["Hello", "Once upon "]
    check_ending(before, turn.id)


@pytest.mark.promise("R-04")
async def test_without_a_ring_the_owner_finds_out_by_its_own_look(postgres: str) -> None:
    settings = EngineSettings(look_s=1000.0, sweep_s=1000.0, fence_s=0.1, grace_s=2.0, titles=False)
    async with AsyncExitStack() as stack:
        one, two = await started(stack, postgres, settings), await started(stack, postgres, SETTINGS)
        talk = await Talk.begin(one.chat.engine)
        turn = await talk.send()
        puppet = await one.puppets.of(turn.id)
        await two.chat.engine.store.write(_steal, talk.id)  # nobody rings
        with anyio.fail_after(2):
            await puppet.gone.wait()


@pytest.mark.promise("R-02")
async def test_a_send_that_is_repeated_through_the_other_is_the_same_turn(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    talk = await Talk.begin(one.chat.engine)
    sent = await asyncio.gather(*(worker.talk(talk).sent("Hello", "mine") for worker in [one, two] * 5))
    assert len({answer.turn.id for answer in sent}) == 1
    assert [answer.fresh for answer in sent].count(True) == 1
    assert len({answer.cursor for answer in sent}) == 1


@pytest.mark.promise("R-03")
async def test_one_turn_runs_at_a_time_whoever_accepted_it(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    talk = await Talk.begin(one.chat.engine)
    sent = await asyncio.gather(*(worker.talk(talk).send(str(number)) for number, worker in enumerate([one, two] * 3)))

    async def play(worker: Worker, turn_id: str) -> None:
        puppet = await worker.puppets.of(turn_id)
        puppet.say("So.")
        puppet.end()

    async with anyio.create_task_group() as group:
        for turn in sent:
            for worker in pair:
                group.start_soon(play, worker, turn.id)
        for turn in sorted(sent, key=lambda turn: turn.rank):
            await talk.ended(turn.id)
        group.cancel_scope.cancel()
    changes = [
        (e.turn.id if isinstance(e, TurnEvent) else e.turn_id, e)
        for _, e in await talk.told()
        if isinstance(e, Done) or (isinstance(e, TurnEvent) and e.turn.status == "in_progress")
    ]
    order = [turn.id for turn in sorted(sent, key=lambda turn: turn.rank)]
    assert [turn_id for turn_id, _ in changes] == [turn_id for turn_id in order for _ in range(2)]


@pytest.mark.promise("R-03")
async def test_a_steering_message_reaches_the_agent_in_the_other_process(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    talk = await Talk.begin(one.chat.engine)
    turn = await talk.send()
    puppet = await one.puppets.of(turn.id)
    steering = await two.talk(talk).send("Shorter", mode="steer")
    puppet.steer()
    puppet.say("Short.")
    puppet.end()
    assert (await two.talk(talk).ended(turn.id)).status == "completed"
    assert (await talk.turn(steering.id)).reason == "steered"
    assert await two.talk(talk).texts() == ["Hello", "Shorter", "Short."]


@pytest.mark.promise("R-06")
async def test_the_turns_of_a_worker_that_is_gone_are_ended_by_the_other(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    talk = await Talk.begin(one.chat.engine)
    turn = await talk.send()
    waiting = await talk.send("And then?")
    puppet = await one.puppets.of(turn.id)
    puppet.say("Once upon ")
    await talk.said("Once upon ")
    await two.chat.engine.store.write(_forget_owner_of, turn.id)
    there = two.talk(talk)
    ended = await there.ended(turn.id)
    assert (ended.status, ended.reason) == ("incomplete", "worker_lost")
    puppet.say("a time.")  # the one that was thought dead wakes up
    await puppet.gone.wait()
    heir = await two.puppets.of(waiting.id)
    assert [text_of(message) for message in heir.turn.history] == ["Hello", "Once upon ", "And then?"]
    heir.say("They lived.")
    heir.end()
    await there.ended(waiting.id)
    assert await talk.texts() == ["Hello", "Once upon ", "And then?", "They lived."]
    told = await talk.told()
    assert Fold().apply_all(event for _, event in told).state() == await there.state()


async def test_what_waits_in_a_process_that_stops_is_taken_up_by_the_other(postgres: str) -> None:
    async with AsyncExitStack() as stack:
        two = await started(stack, postgres)
        async with AsyncExitStack() as leaving:
            one = await started(leaving, postgres)
            talk = await Talk.begin(one.chat.engine)
            turn = await talk.send()
            puppet = await one.puppets.of(turn.id)
            puppet.say("Once upon ")
            await talk.said("Once upon ")
            waiting = await talk.send("And then?")
        there = two.talk(talk)
        assert (await there.ended(turn.id)).reason == "shutdown"
        heir = await two.puppets.of(waiting.id)
        heir.say("They lived.")
        heir.end()
        assert (await there.ended(waiting.id)).status == "completed"
        assert len(await two.chat.engine.store.read(workers.counters)) == 1


@pytest.mark.promise("E-03")
async def test_when_the_doorbells_connections_break_new_ones_find_what_was_missed(
    pair: tuple[Worker, Worker], caplog: pytest.LogCaptureFixture
) -> None:
    one, two = pair
    talk = await Talk.begin(one.chat.engine)
    turn = await talk.send()
    puppet = await one.puppets.of(turn.id)
    for word in ("Once ", "upon ", "a time."):
        assert await one.chat.engine.store.read(_cut_doorbells) > 0 or word != "Once "
        puppet.say(word)
        await talk.until(lambda event, word=word: getattr(event, "text", "") == word)  # type: ignore[misc]
    puppet.end()
    told = await two.talk(talk).followed(turn.id)
    assert told == await talk.told()
    assert only(Done, told)[0].status == "completed"


class Ear:
    """What a doorbell has told."""

    def __init__(self) -> None:
        self.heard: list[list[str] | None] = []
        self._news = anyio.Event()

    def __call__(self, session_ids: Iterable[str] | None) -> None:
        self.heard.append(None if session_ids is None else sorted(session_ids))
        self._news.set()
        self._news = anyio.Event()

    async def hears(self, wanted: list[str] | None, times: int = 1) -> None:
        while self.heard.count(wanted) < times:
            await self._news.wait()


@pytest.fixture
async def bells(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[PostgresDoorbell, Ear, PostgresDoorbell, Ear]]:
    """Two doorbells that listen."""
    monkeypatch.setattr(postgres_doorbell, "_RETRY_S", 0.05)
    mine, yours, my_ear, your_ear = PostgresDoorbell(url=postgres), PostgresDoorbell(url=postgres), Ear(), Ear()
    await mine.start(my_ear)
    await yours.start(your_ear)
    await my_ear.hears(None)
    await your_ear.hears(None)
    yield mine, my_ear, yours, your_ear
    await mine.stop()
    await yours.stop()


async def test_a_ring_wakes_the_others_and_not_oneself(
    bells: tuple[PostgresDoorbell, Ear, PostgresDoorbell, Ear],
) -> None:
    mine, my_ear, yours, your_ear = bells
    mine.ring(["ses_a", "ses_b"])
    mine.ring(["ses_a"])
    await your_ear.hears(["ses_a", "ses_b"])
    yours.ring({"ses_c"})
    await my_ear.hears(["ses_c"])
    assert my_ear.heard == [None, ["ses_c"]]
    assert your_ear.heard == [None, ["ses_a", "ses_b"]]


async def test_too_many_for_one_ring_are_a_ring_for_everything(
    bells: tuple[PostgresDoorbell, Ear, PostgresDoorbell, Ear],
) -> None:
    mine, my_ear, _, your_ear = bells
    mine.ring([f"ses_{number:026}" for number in range(300)])
    await your_ear.hears(None, times=2)
    assert my_ear.heard == [None]


async def test_who_was_cut_off_listens_again_and_looks_at_everything(
    bells: tuple[PostgresDoorbell, Ear, PostgresDoorbell, Ear], postgres: str, caplog: pytest.LogCaptureFixture
) -> None:
    mine, my_ear, _, your_ear = bells
    connection = await asyncpg.connect(postgres)
    await connection.execute(CUT)
    await my_ear.hears(None, times=2)
    await your_ear.hears(None, times=2)
    mine.ring(["ses_a"])
    await your_ear.hears(["ses_a"])
    await connection.close()


async def test_a_database_that_is_away_is_asked_again_and_a_bell_can_be_stopped_meanwhile(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(postgres_doorbell, "_RETRY_S", 0.0)
    tried = anyio.Event()
    monkeypatch.setattr(postgres_doorbell.log, "warning", lambda *_args, **_fields: tried.set())
    bell = PostgresDoorbell(url=f"postgresql://nobody:secret@127.0.0.1:{free_port()}/nothing")
    await bell.stop()  # never started
    bell.ring(["ses_a"])
    await bell.start(Ear())
    await tried.wait()
    await bell.stop()
    assert "secret" not in caplog.text


async def test_a_turn_of_an_agent_that_only_the_other_knows_waits_for_it(postgres: str) -> None:
    async with AsyncExitStack() as stack:
        two = await started(stack, postgres)
        one = Legato(postgres, environment={}, settings=SETTINGS)
        one.agent("another")(Puppets().answer)
        await stack.enter_async_context(one.lifespan())
        talk = await Talk.begin(two.chat.engine)
        turn = await talk.on(one.engine).send()
        puppet = await two.puppets.of(turn.id)
        puppet.say("Mine.")
        puppet.end()
        assert (await talk.on(one.engine).ended(turn.id)).status == "completed"
        with pytest.raises(LegatoError):
            await one.engine.create_session("ann", "puppet")
        assert await one.engine.store.read(claiming.claimable, claimant("wrk_1", "puppet"), 10) == []


CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'legato-doorbell'"


def _cut_doorbells(conn: Connection) -> int:
    return len(conn.execute(text(f"{CUT} AND datname = current_database()")).all())


def _steal(conn: Connection, session_id: str) -> None:
    conn.execute(text("UPDATE sessions SET epoch = epoch + 1 WHERE id = :id"), {"id": session_id})


def _forget_owner_of(conn: Connection, turn_id: str) -> None:
    conn.execute(text("DELETE FROM workers WHERE id = (SELECT worker_id FROM turns WHERE id = :id)"), {"id": turn_id})
