"""Chores: asked for once, done once, tried again when they fail, taken over from the dead; one that hangs holds up no other."""

import asyncio
from collections.abc import AsyncIterator

import anyio
import pytest
from sqlalchemy import Connection, update

from legato.core.errors import AgentNotFound, ModelNotFound, NotFound, Unavailable
from legato.engine.chores import Chores, Duty
from legato.engine.tasks import Tasks
from legato.store import chores, schema, workers
from legato.store.chores import Chore
from tests.engine.wiring import FaultyStore, opened
from tests.support.conversation import new_session

pytestmark = pytest.mark.anyio

HOUR_S = 3600.0


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def store(url: str) -> AsyncIterator[FaultyStore]:
    async with opened(url) as store:
        yield store


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    tasks = Tasks()
    yield tasks
    await tasks.settle(5)


async def asked(store: FaultyStore, kind: chores.Kind = "title") -> str:
    session = (await new_session(store)).session
    await store.write(chores.ask, session.id, kind)
    return session.id


async def waiting(store: FaultyStore, kind: chores.Kind = "title", worker_id: str = "wrk_other") -> list[str]:
    return await store.read(chores.due, kind, worker_id, 100)  # type: ignore[no-any-return]


async def test_what_was_asked_for_twice_is_done_once(store: FaultyStore, tasks: Tasks) -> None:
    session_id = await asked(store)
    await store.write(chores.ask, session_id, "title")
    done: list[Chore] = []

    async def work(chore: Chore) -> None:
        done.append(chore)

    await store.write(workers.register, "wrk_me")
    side = Chores(store=store, tasks=tasks, worker=lambda: "wrk_me", duties=(Duty(kind="title", work=work),))
    await side.step()
    await tasks.settle(5)
    await side.step()
    await tasks.settle(5)
    assert [chore.session_id for chore in done] == [session_id]
    assert await waiting(store) == []


async def test_what_is_asked_for_while_it_is_done_is_done_again(store: FaultyStore, tasks: Tasks) -> None:
    session_id = await asked(store)
    seen: list[int] = []

    async def work(chore: Chore) -> None:
        seen.append(chore.version)
        if len(seen) == 1:
            await store.write(chores.ask, session_id, "title")

    await store.write(workers.register, "wrk_me")
    side = Chores(store=store, tasks=tasks, worker=lambda: "wrk_me", duties=(Duty(kind="title", work=work),))
    for _ in range(3):
        await side.step()
        await tasks.settle(5)
    assert seen == [1, 2]


async def test_one_that_hangs_holds_up_neither_other_kinds_nor_the_shutdown(store: FaultyStore, tasks: Tasks) -> None:
    await asked(store, "title")
    closed = await asked(store, "close")
    done = anyio.Event()

    async def hang(chore: Chore) -> None:
        await asyncio.get_running_loop().create_future()

    async def work(chore: Chore) -> None:
        assert chore.session_id == closed
        done.set()

    await store.write(workers.register, "wrk_me")
    duties = (Duty(kind="title", work=hang, at_once=1), Duty(kind="close", work=work))
    side = Chores(store=store, tasks=tasks, worker=lambda: "wrk_me", duties=duties)
    await asked(store, "title")
    with anyio.fail_after(10):
        await side.step()
        await side.step()
        await done.wait()
        await side.stop()


async def test_a_failure_is_put_off_and_after_some_tries_given_up(store: FaultyStore, tasks: Tasks) -> None:
    session_id = await asked(store)

    async def fail(chore: Chore) -> None:
        raise ValueError("nonsense")

    await store.write(workers.register, "wrk_me")
    duty = Duty(kind="title", work=fail, most_tries=2)
    side = Chores(store=store, tasks=tasks, worker=lambda: "wrk_me", duties=(duty,))
    await side.step()
    await tasks.settle(5)
    assert await waiting(store) == []
    assert await store.write(chores.take, session_id, "title", "wrk_me") is None, "not before its time"
    await store.write(_soon, session_id)
    await side.step()
    await tasks.settle(5)
    await store.write(_soon, session_id)
    assert await waiting(store) == [], "given up"


async def test_what_the_dead_have_taken_is_free_and_what_the_living_have_is_not(store: FaultyStore) -> None:
    session_id = await asked(store)
    for worker_id in ("wrk_1", "wrk_2"):
        await store.write(workers.register, worker_id)
    assert await store.write(chores.take, session_id, "title", "wrk_1") is not None
    assert await store.write(chores.take, session_id, "title", "wrk_2") is None
    await store.write(workers.remove, "wrk_1")
    taken = await store.write(chores.take, session_id, "title", "wrk_2")
    assert taken is not None
    assert taken.tries == 2


async def test_one_that_could_not_be_given_back_is_taken_up_again(store: FaultyStore, tasks: Tasks) -> None:
    await asked(store)
    done: list[Chore] = []

    async def work(chore: Chore) -> None:
        done.append(chore)
        if len(done) == 1:
            store.down = True
            raise Unavailable

    await store.write(workers.register, "wrk_me")
    side = Chores(store=store, tasks=tasks, worker=lambda: "wrk_me", duties=(Duty(kind="title", work=work),))
    await side.step()
    await tasks.settle(5)
    store.down = False
    await side.step()
    await tasks.settle(5)
    assert len(done) == 2


@pytest.mark.parametrize("refused", ["take", "finish"])
async def test_while_the_store_takes_nothing_it_waits_for_the_next_look(
    store: FaultyStore, tasks: Tasks, refused: str
) -> None:
    """A full disk: what is due can be read, and nothing can be done about it."""
    await asked(store)
    done: list[Chore] = []
    woken: list[str] = []

    async def work(chore: Chore) -> None:
        done.append(chore)

    await store.write(workers.register, "wrk_me")
    side = Chores(store=store, tasks=tasks, worker=lambda: "wrk_me", duties=(Duty(kind="title", work=work),))
    side.on_due = lambda: woken.append("woken")
    store.broken.add(refused)
    await side.step()
    await tasks.settle(5)
    assert woken == []
    store.broken.clear()
    await side.step()
    await tasks.settle(5)
    assert woken == ["woken"]
    assert await waiting(store) == []


async def worked(store: FaultyStore, tasks: Tasks, duty: Duty, times: int = 1) -> None:
    """Do what is waiting, whenever it is due."""
    await store.write(workers.register, "wrk_me")
    side = Chores(store=store, tasks=tasks, worker=lambda: "wrk_me", duties=(duty,))
    for _ in range(times):
        await store.write(_all_soon)
        await side.step()
        await tasks.settle(5)
    await store.write(workers.remove, "wrk_me")


async def test_what_waits_or_finds_the_store_away_is_no_try(store: FaultyStore, tasks: Tasks) -> None:
    await asked(store)
    said: list[float | Exception] = [5.0, 5.0, 5.0, Unavailable(), Unavailable(), Unavailable(), ValueError("nonsense")]
    tries: list[int] = []

    async def work(chore: Chore) -> float | None:
        tries.append(chore.tries)
        if not said:
            return None
        if isinstance(says := said.pop(0), Exception):
            raise says
        return says

    await worked(store, tasks, Duty(kind="title", work=work, most_tries=2), 8)
    assert tries == [1, 1, 1, 1, 1, 1, 1, 2]
    await store.write(_all_soon)
    assert await waiting(store) == []


async def test_one_that_the_store_did_not_take_back_was_no_try(store: FaultyStore, tasks: Tasks) -> None:
    await asked(store)
    tries: list[int] = []

    async def work(chore: Chore) -> None:
        tries.append(chore.tries)
        store.broken = {"put_off"} if len(tries) < 3 else set()
        raise Unavailable

    await worked(store, tasks, Duty(kind="title", work=work, most_tries=2), 4)
    assert tries == [1, 1, 1, 1]


@pytest.mark.parametrize("missing", [AgentNotFound, ModelNotFound])
async def test_what_needs_an_agent_or_a_model_of_another_process_is_left_to_that_one(
    store: FaultyStore, tasks: Tasks, missing: type[NotFound], caplog: pytest.LogCaptureFixture
) -> None:
    session_ids = {await asked(store, "trim") for _ in range(2)}
    done: set[str] = set()

    async def elsewhere(chore: Chore) -> None:
        raise missing("There is no 'x'.")

    async def here(chore: Chore) -> None:
        done.add(chore.session_id)

    await worked(store, tasks, Duty(kind="trim", work=elsewhere), 6)
    assert await waiting(store, "trim") == [], "not at once"
    assert len([record for record in caplog.records if "There is no 'x'." in record.message]) == 1
    await worked(store, tasks, Duty(kind="trim", work=here))
    assert done == session_ids
    await asked(store, "trim")
    await worked(store, tasks, Duty(kind="trim", work=elsewhere), 20)
    await store.write(_all_soon)
    assert await waiting(store, "trim") == [], "nobody has it any more"


def _all_soon(conn: Connection) -> None:
    conn.execute(update(schema.chores).values(due_at=1))


def _soon(conn: Connection, session_id: str) -> None:
    conn.execute(update(schema.chores).where(schema.chores.c.session_id == session_id).values(due_at=1))
