"""What is PostgreSQL's own: several processes, their waits for each other, and a server that goes away."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import asyncpg
import pytest
from sqlalchemy import Connection, cast, delete, select, update
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_only

from legato.core.errors import Invalid, LegatoError, Misuse, SchemaMismatch, SessionNotFound, Unavailable
from legato.core.ids import new_id
from legato.core.search import parse
from legato.store import (
    accepting,
    claiming,
    erasing,
    finding,
    journal,
    lifecycle,
    memories,
    postgres,
    schema,
    sessions,
    workers,
)
from legato.store.ending import Ending, cancel, clear
from legato.store.lifecycle import Policy
from legato.store.locked import readable
from legato.store.postgres import PostgresStore
from legato.store.sessions import NewSession
from legato.store.ticks import this_boot
from legato.store.upgrade import incarnation
from tests.support.conversation import Conversation, batch, claimant, meter, new_session
from tests.support.postgres import postgres_server
from tests.support.server import free_port

pytestmark = pytest.mark.anyio
PATIENCE_S: Final = 30
_OTHERS: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend'"
)
CANCELLED: Final = Ending(status="cancelled", reason="cancelled")


@asynccontextmanager
async def started(url: str, **options: Any) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url=url, **options)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


@pytest.fixture(scope="module")
async def store(shared_postgres: str, anyio_backend: str) -> AsyncIterator[PostgresStore]:
    async with started(shared_postgres) as store:
        yield store


@pytest.fixture(scope="module")
async def other(shared_postgres: str, anyio_backend: str) -> AsyncIterator[PostgresStore]:
    """Another process, as far as the database can tell."""
    async with started(shared_postgres) as store:
        yield store


@pytest.fixture
async def raw(shared_postgres: str, store: PostgresStore) -> AsyncIterator[Any]:
    """A connection past the store, which may hold a lock as long as it likes."""
    connection = await asyncpg.connect(shared_postgres)
    yield connection
    await connection.close()


async def waits_for_a_lock(raw: Any) -> None:
    """Return when somebody waits for a lock that somebody holds."""
    with anyio.fail_after(PATIENCE_S):
        while not await raw.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_what_can_never_be_stored_is_no_outage(store: PostgresStore) -> None:
    """Who is told that the store is away tries again, for ever."""
    with pytest.raises(Invalid) as refused:
        await store.write(_cast, " ".join(f"{number:064}" for number in range(17_000)))
    assert isinstance(refused.value.__cause__, DBAPIError)


def _cast(conn: Connection, value: str) -> None:
    conn.execute(select(cast(value, TSVECTOR)))


@pytest.mark.promise("S-14")
async def test_a_search_is_planned_for_its_words(store: PostgresStore) -> None:
    """A plan for any words goes through all that an owner has said: after five searches the server would keep to one."""

    def asked(conn: Connection) -> list[str]:
        before = conn.exec_driver_sql("SHOW plan_cache_mode").scalar_one()
        finding.begin(conn, finding.Question("ann", parse("harbour")))
        return [before, conn.exec_driver_sql("SHOW plan_cache_mode").scalar_one()]

    for _ in range(2):
        assert await store.read(asked) == ["auto", "force_custom_plan"]


async def test_a_stuck_neighbour_costs_nobody_more_than_his_own_request(store: PostgresStore) -> None:
    def settings(conn: Connection) -> dict[str, str]:
        names = (
            "lock_timeout",
            "statement_timeout",
            "idle_in_transaction_session_timeout",
            "synchronous_commit",
            "application_name",
        )
        return {name: str(conn.exec_driver_sql(f"SHOW {name}").scalar()) for name in names}

    wanted = {
        "lock_timeout": "5s",
        "statement_timeout": "30s",
        "idle_in_transaction_session_timeout": "30s",
        "synchronous_commit": "on",
        "application_name": "legato",
    }
    assert await store.write(settings) == await store.read(settings) == wanted


async def test_a_lock_that_is_not_given_back_makes_its_session_unavailable(
    shared_postgres: str, store: PostgresStore, raw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(postgres._SETTINGS, "lock_timeout", "100ms")
    held, free = await Conversation.begin(store), await Conversation.begin(store)
    async with started(shared_postgres) as hasty:
        async with raw.transaction():
            await raw.execute("SELECT 1 FROM sessions WHERE id = $1 FOR UPDATE", held.id)
            with pytest.raises(Unavailable):
                await hasty.write(sessions.change, held.id, "ann", {"title": "mine"})
            assert (await hasty.write(sessions.change, free.id, "ann", {"title": "mine"})).session.title == "mine"
        assert (await hasty.write(sessions.change, held.id, "ann", {"title": "now"})).session.title == "now"


@pytest.mark.promise("S-04")
@pytest.mark.parametrize("how", ["reopen", "current"])
async def test_who_changes_several_sessions_locks_them_in_the_order_that_all_keep(
    store: PostgresStore, raw: Any, how: str
) -> None:
    """Whoever appends to several sessions does it in the order of their ids."""
    policy = Policy(single_current=True, idle_us=0)
    low, high = sorted([(await new_session(store, owner=how)).session.id for _ in range(2)])
    await store.write(sessions.change, high, how, {"closed": how == "reopen"})  # and the newest in any case
    work = (
        store.write(lifecycle.reopen, high, how, policy)
        if how == "reopen"
        else store.write(
            lifecycle.current,
            NewSession(id=new_id("ses"), owner=how, agent_id="demo", agent_name=""),
            policy,
            this_boot(),
            0,
        )
    )
    async with anyio.create_task_group() as group, raw.transaction():
        await raw.execute("SELECT 1 FROM sessions WHERE id = $1 FOR UPDATE", low)
        group.start_soon(_awaited, work)
        await waits_for_a_lock(raw)
        await raw.execute("SELECT 1 FROM sessions WHERE id = $1 FOR UPDATE NOWAIT", high)
    assert (await store.read(sessions.get, low, how)).read_only


@pytest.mark.promise("T-04")
@pytest.mark.parametrize("how", ["forget", "clear", "delete"])
async def test_who_changes_several_facts_has_them_to_himself(store: PostgresStore, raw: Any, how: str) -> None:
    """As who stores some has: he holds the first, and wants the second, which the other might hold already."""
    owner = f"facts {how}"
    session_id = (await new_session(store, owner=owner)).session.id
    work: Coroutine[Any, Any, object]
    match how:
        case "forget":
            work = store.write(memories.forget_some, owner)
        case "clear":
            work = store.write(clear, session_id, owner, meter)
        case _:
            work = store.write(erasing.remove, session_id, owner, meter)
    async with anyio.create_task_group() as group, raw.transaction():
        await raw.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"legato memory of {owner}")
        group.start_soon(_awaited, work)
        await waits_for_a_lock(raw)


async def _awaited(work: Any) -> None:
    await work


async def test_a_server_that_loses_what_it_acknowledged_is_refused(tmp_path: Path) -> None:
    with postgres_server(tmp_path, {"fsync": "off"}) as url, pytest.raises(Misuse, match="fsync"):
        await PostgresStore(url=url).start()


@pytest.mark.promise("X-09")
async def test_many_processes_may_start_at_once_on_an_empty_database(postgres_url: str) -> None:
    stores = [PostgresStore(url=postgres_url, pool_size=2) for _ in range(6)]

    await asyncio.gather(*[store.start() for store in stores])

    assert len({store.incarnation for store in stores}) == 1
    await new_session(stores[0])
    assert [len((await store.read(sessions.page, "ann")).data) for store in stores] == [1] * 6
    await asyncio.gather(*[store.stop() for store in stores])


async def test_a_database_of_a_newer_version_is_left_alone(postgres_url: str) -> None:
    async with started(postgres_url) as store:
        await store.write(lambda conn: conn.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaMismatch, match="9999"):
        await PostgresStore(url=postgres_url).start()

    raw: Any = await asyncpg.connect(postgres_url)
    with anyio.fail_after(PATIENCE_S):  # who failed to start keeps no connection
        while await raw.fetchval(_OTHERS):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    await raw.close()


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await PostgresStore(url=f"postgresql://nobody@127.0.0.1:{free_port()}/nothing").start()


async def test_a_server_that_lets_nobody_in_is_unavailable_until_it_does(postgres: str, postgres_url: str) -> None:
    """What a restart or a failover looks like: connections break, and new ones are refused for a while."""
    name = postgres_url.rpartition("/")[2]
    gate = await asyncpg.connect(postgres)
    async with started(postgres_url) as store:
        told = await Conversation.begin(store)
        claimed = await told.start()
        await gate.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await gate.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        for _ in range(2):
            with pytest.raises(Unavailable):
                await store.read(sessions.get, told.id, "ann")
            with pytest.raises(Unavailable):
                await store.write(sessions.change, told.id, "ann", {"title": "lost"})
            with pytest.raises(Unavailable):
                await store.append([batch(claimed, 1, told.token("lost"))])

        await gate.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        while True:  # a connection that broke while nobody used it is found out by its next user
            try:
                assert (await store.read(sessions.get, told.id, "ann")).title is None
                break
            except Unavailable:
                continue
        await told.say("there again")
        assert await told.texts() == ["Hello", "there again"]
    await gate.close()


async def test_changes_that_wait_for_a_lock_hold_up_no_reader_and_no_heartbeat(
    shared_postgres: str, store: PostgresStore, raw: Any
) -> None:
    held, free = await Conversation.begin(store), await Conversation.begin(store)
    claimed = await free.start()
    await store.write(workers.register, "wrk_busy")
    small = PostgresStore(url=shared_postgres, pool_size=1, wait_s=0.05)
    async with raw.transaction():
        await raw.execute("SELECT 1 FROM sessions WHERE id = $1 FOR UPDATE", held.id)
        waiting = asyncio.ensure_future(small.write(sessions.change, held.id, "ann", {"title": "late"}))
        await waits_for_a_lock(raw)
        with pytest.raises(Unavailable):  # all connections for changes are busy
            await small.write(sessions.change, free.id, "ann", {"title": "mine"})
        assert (await small.read(sessions.get, held.id, "ann")).title is None
        assert await small.append([batch(claimed, 1, free.token("word"))]) != [None]
        assert await small.vital(workers.beat, "wrk_busy")
    assert (await waiting).session.title == "late"
    await small.stop()


@pytest.mark.promise("R-05")
async def test_who_was_replaced_while_he_waited_for_the_lock_is_refused(store: PostgresStore, raw: Any) -> None:
    told, neighbour = await Conversation.begin(store), await Conversation.begin(store)
    claimed, unharmed = await told.start(), await neighbour.start()
    batches = [batch(claimed, 1, told.token("late")), batch(unharmed, 1, neighbour.token("fine"))]
    async with raw.transaction():
        await raw.execute("UPDATE sessions SET epoch = epoch + 1 WHERE id = $1", told.id)
        appending = asyncio.ensure_future(store.append(batches))
        await waits_for_a_lock(raw)

    refused, entered = await appending
    assert refused is None
    assert entered is not None
    assert await told.texts() == ["Hello", ""]


@pytest.mark.promise("E-01")
async def test_who_waited_for_the_lock_goes_on_from_the_new_head(store: PostgresStore, raw: Any) -> None:
    told = await Conversation.begin(store)
    claimed = await told.start()
    head = (await told.moment())[1]
    async with raw.transaction():
        await raw.execute("SELECT 1 FROM sessions WHERE id = $1 FOR UPDATE", told.id)
        writes = [
            asyncio.ensure_future(store.append([batch(claimed, 1, told.token("word"))])),
            asyncio.ensure_future(store.write(sessions.change, told.id, "ann", {"title": "new"})),
            asyncio.ensure_future(store.write(accepting.accept, told.ask("next"), meter)),
        ]
        await waits_for_a_lock(raw)
    await asyncio.gather(*writes)

    assert [seq for seq, _ in await told.events(head)] == list(range(head + 1, head + 5))


@pytest.mark.promise("R-02")
async def test_a_batch_that_is_still_on_its_way_in_enters_once(store: PostgresStore, raw: Any) -> None:
    """The connection broke, the server goes on committing, and the batch comes again on another connection."""
    told, neighbour = await Conversation.begin(store), await Conversation.begin(store)
    claimed, unharmed = await told.start(), await neighbour.start()
    first = batch(claimed, 1, told.token("once"))
    columns = [
        [getattr(first, name)] for name in ("session_id", "turn_id", "epoch", "number", "count", "payload", "crc")
    ]
    async with raw.transaction():
        await raw.fetch(journal._APPEND_ALL, *columns)
        again = asyncio.ensure_future(store.append([first, batch(unharmed, 1, neighbour.token("fine"))]))
        await waits_for_a_lock(raw)

    try:
        rows = await again
    except Unavailable:  # the engine tries again
        rows = await store.append([first, batch(unharmed, 1, neighbour.token("fine"))])
    assert [row is not None for row in rows] == [True, True]
    assert await told.texts() == ["Hello", "once"]
    assert await neighbour.texts() == ["Hello", "fine"]


async def test_two_processes_that_write_to_the_same_sessions_do_not_lock_each_other_out(
    store: PostgresStore, other: PostgresStore
) -> None:
    told = [await Conversation.begin(store) for _ in range(6)]
    claims = [await one.start() for one in told]
    forward = [batch(claimed, 1, one.token("a")) for claimed, one in zip(claims, told, strict=True)]
    backward = [batch(claimed, 2, one.token("b")) for claimed, one in zip(claims, told, strict=True)][::-1]

    await asyncio.gather(*[process.append(batches) for process, batches in ((store, forward), (other, backward))] * 3)

    for one in told:
        assert sorted((await one.texts())[1]) == ["a", "b"]


@pytest.mark.promise("R-04", "X-09")
async def test_cancel_from_another_process_is_final(store: PostgresStore, other: PostgresStore) -> None:
    for _ in range(5):
        told = await Conversation.begin(store)
        claimed = await told.start()
        batches = [batch(claimed, number, told.token(f"{number} ")) for number in range(1, 9)]

        async def speak(batches: list[Any] = batches) -> list[bool]:
            return [(await store.append([one]))[0] is not None for one in batches]

        said, ended = await asyncio.gather(
            speak(), other.write(cancel, told.id, "ann", claimed.turn.id, CANCELLED, meter)
        )

        assert said == sorted(said, reverse=True)  # once refused, always refused
        assert (await told.texts())[1] == "".join(f"{number} " for number in range(1, 1 + sum(said)))
        assert (await told.events())[-1][0] == ended.rows[-1].last_seq


@pytest.mark.promise("R-03", "X-09")
async def test_of_two_processes_that_claim_one_wins(store: PostgresStore, other: PostgresStore) -> None:
    told = [await Conversation.begin(store) for _ in range(8)]
    for one in told:
        await one.send()

    claims = await asyncio.gather(
        *[
            process.write(claiming.claim, one.id, claimant(f"wrk_{n}"))
            for one in told
            for n, process in enumerate((store, other))
        ]
    )

    assert sorted(claimed.session.id for claimed in claims if claimed) == sorted(one.id for one in told)


@pytest.mark.promise("E-06", "X-09")
async def test_what_one_process_wrote_the_other_reads(store: PostgresStore, other: PostgresStore) -> None:
    told = await Conversation.begin(store)
    for n in range(5):
        await told.change(title=f"{n}")
        assert (await other.read(sessions.get, told.id, "ann")).title == f"{n}"


async def test_a_read_is_of_one_instant_and_changes_nothing(store: PostgresStore, other: PostgresStore) -> None:
    told = await Conversation.begin(store)

    def look_twice(conn: Connection) -> list[object]:
        before = readable(conn, told.id, "ann").title
        await_only(other.write(sessions.change, told.id, "ann", {"title": "meanwhile"}))
        return [before, readable(conn, told.id, "ann").title]

    assert await store.read(look_twice) == [None, None]
    with pytest.raises(Unavailable):
        await store.read(lambda conn: conn.execute(update(schema.sessions).values(title="x")))
    assert (await other.read(sessions.get, told.id, "ann")).title == "meanwhile"


async def test_who_stops_waiting_undoes_nothing_and_breaks_no_connection(store: PostgresStore) -> None:
    told = await Conversation.begin(store)
    begun = asyncio.Event()

    def slow(conn: Connection) -> None:
        sessions.change(conn, told.id, "ann", {"title": "written"})
        begun.set()
        conn.exec_driver_sql("SELECT pg_sleep(0.1)")

    tasks = [asyncio.ensure_future(store.write(slow)) for _ in range(3)]
    await begun.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.wait(store._calls)

    assert all(task.cancelled() for task in tasks)
    assert (await store.read(sessions.get, told.id, "ann")).title == "written"


async def test_stop_waits_for_what_is_under_way(shared_postgres: str, other: PostgresStore) -> None:
    store = PostgresStore(url=shared_postgres)
    await store.start()
    told = await Conversation.begin(store)
    begun = asyncio.Event()

    def slow(conn: Connection) -> None:
        begun.set()
        conn.exec_driver_sql("SELECT pg_sleep(0.1)")
        sessions.change(conn, told.id, "ann", {"title": "written"})

    writing = asyncio.ensure_future(store.write(slow))
    await begun.wait()
    await store.stop()

    assert writing.done()
    assert (await other.read(sessions.get, told.id, "ann")).title == "written"


async def test_an_error_that_says_what_was_written_is_not_passed_on(store: PostgresStore) -> None:
    def fail(conn: Connection) -> None:
        conn.execute(select(schema.sessions).where(schema.sessions.c.head == "Rumpelstilzchen"))

    with pytest.raises((LegatoError, DBAPIError)) as caught:
        await store.read(fail)
    assert "[parameters" not in str(caught.value)


async def test_processes_that_start_at_once_agree_on_an_incarnation(postgres_url: str) -> None:
    async with started(postgres_url) as store:
        await store.write(lambda conn: conn.execute(delete(schema.meta)))
        raw: Any = await asyncpg.connect(postgres_url)
        async with raw.transaction():
            await raw.execute("INSERT INTO meta VALUES ('incarnation', 'abcd')")
            second = asyncio.ensure_future(store.write(incarnation))
            await waits_for_a_lock(raw)
        assert await second == "abcd"
        await raw.close()


@pytest.mark.promise("S-16")
@pytest.mark.parametrize("session_id", ["ses_\x00", "ses_" + "x" * 10_000, "ses_\ud800", ""])
async def test_an_id_that_no_session_can_have_is_unknown(store: PostgresStore, session_id: str) -> None:
    with pytest.raises(SessionNotFound):
        await store.read(sessions.get, session_id, "ann")
    with pytest.raises(SessionNotFound):
        await store.write(sessions.change, session_id, "ann", {"title": "x"})


async def test_the_server_says_what_time_it_is(store: PostgresStore, raw: Any) -> None:
    before = await raw.fetchval("SELECT clock_timestamp()")
    created = (await new_session(store)).session.created_at
    assert before <= created <= await raw.fetchval("SELECT clock_timestamp()")
