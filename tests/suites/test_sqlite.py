"""What is SQLite's own: one file, one process, one writer that groups its commits."""

import asyncio
import os
import random
import sqlite3
import stat
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy import Connection, event, exc, insert, select
from sqlalchemy.exc import ProgrammingError

from legato.core.errors import Corrupted, Misuse, SchemaMismatch, SessionNotFound, StoreFull, StoreInUse, Unavailable
from legato.core.ids import new_id
from legato.core.model import Message, TextPart
from legato.core.search import parse
from legato.store import lifecycle, messages, schema, search, sessions, sqlite
from legato.store.finding import Filters, Question, begin
from legato.store.locked import lock
from legato.store.opening import open_store
from legato.store.rows import to_time
from legato.store.schema import meta
from legato.store.sqlite import SqliteStore
from tests.suites.conftest import copied
from tests.support.conversation import Conversation, new_session
from tests.support.search_index import check_index

pytestmark = pytest.mark.anyio
PATIENCE_S = 30


class Clock:
    """Microseconds, as the test says."""

    def __init__(self) -> None:
        self.us = 1_800_000_000_000_000

    def __call__(self) -> int:
        return self.us


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(blank_sqlite: Path, tmp_path: Path) -> Path:
    return copied(blank_sqlite, tmp_path)


@pytest.fixture
async def store(path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path=path, clock_us=clock)
    await store.start()
    with anyio.fail_after(PATIENCE_S):
        yield store
    await store.stop()


async def test_what_leaves_the_index_of_the_search_leaves_no_bytes_in_it(store: SqliteStore) -> None:
    chance = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["canary" + "".join(chance.choices(letters, k=5)) for _ in range(3_000)]
    secret = (await new_session(store, title="a title for " + words[0])).session.id
    other = (await new_session(store, title="nothing secret")).session.id
    for start in range(0, 3_000, 60):
        texts = [" ".join(words[start : start + 60]), "harbour " + " ".join(chance.choices(letters, k=9))]
        for session_id, text in zip((secret, other), texts, strict=True):
            message = Message(
                id=new_id("msg"),
                session_id=session_id,
                turn_id="trn_1",
                role="user",
                status="completed",
                created_at=to_time(1),
                parts=(TextPart(text),),
            )
            await store.write(messages.put, message)
    assert await store.read(_holding, "canary") == {"data", "idx", "entries"}
    while await store.write(search.forget_session, secret, 5):
        pass
    assert await store.read(_holding, "canary") == set()
    assert await store.read(_holding, "harbour") >= {"data", "entries"}
    await check_index(store, other)


async def test_who_closes_by_age_walks_through_nothing_that_is_closed(store: SqliteStore) -> None:
    """That is most of what there is, after some years."""
    plans: list[str] = []

    def plan(conn: Connection) -> None:
        def explain(_conn: Any, cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
            plans.extend(row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))

        event.listen(conn, "before_cursor_execute", explain)
        lifecycle.idle(conn, "demo", 1_000_000, 100)
        event.remove(conn, "before_cursor_execute", explain)

    await store.read(plan)
    assert any("ix_sessions_idle (agent_id=? AND last_activity<?)" in step for step in plans), plans


@pytest.mark.parametrize(
    "filters", [Filters(), Filters(status="active", role="user"), Filters(agent_id="a", session_id="s")]
)
async def test_a_search_begins_with_the_index(store: SqliteStore, filters: Filters) -> None:
    """Begun with the owner's entries, or sessions, it takes seconds where an owner has many."""

    def plan(conn: Connection) -> list[str]:
        asked: list[str] = []

        def explain(_conn: Any, cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
            if "MATCH" in statement:
                asked.extend(row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))

        event.listen(conn, "before_cursor_execute", explain)
        begin(conn, Question("ann", parse("harbour"), filters))
        event.remove(conn, "before_cursor_execute", explain)
        return asked

    told = await store.read(plan)
    assert told == told[:3] * (len(told) // 3)
    first, second, third = told[:3]
    assert first.startswith("SCAN search_index VIRTUAL TABLE")
    assert second == "SEARCH search_entries USING PRIMARY KEY (owner_key=? AND id=?)"
    assert third.startswith("SEARCH sessions USING INDEX sqlite_autoindex_sessions_1 (id=?)")


def _holding(conn: Connection, word: str) -> set[str]:
    """The tables of the index in which the bytes of ``word`` are, anywhere."""
    found: set[str] = set()
    for name, column in (("data", "block"), ("idx", "term")):
        blobs = conn.exec_driver_sql(f"SELECT {column} FROM search_index_{name}").scalars()  # noqa: S608
        found |= {name for blob in blobs if word.encode() in bytes(blob)}
    told = conn.execute(select(schema.search_entries.c.words)).scalars()
    return found | {"entries" for said in told if word in said}


class Gate:
    """A job that holds up the writer, so that what is submitted meanwhile makes one group."""

    def __init__(self) -> None:
        self.entered, self._open = threading.Event(), threading.Event()

    def __call__(self, conn: Connection) -> None:
        self.entered.set()
        assert self._open.wait(PATIENCE_S)

    def open(self) -> None:
        self._open.set()


@contextmanager
def closed_gate(store: SqliteStore) -> Iterator[Gate]:
    gate = Gate()
    held = asyncio.ensure_future(store.write(gate))
    try:
        yield gate
    finally:
        gate.open()
        held.add_done_callback(lambda task: task.exception())


async def submitted(store: SqliteStore, *changes: Callable[[Connection], object]) -> list["asyncio.Task[object]"]:
    """These jobs wait for the writer, in this order."""
    tasks = [asyncio.ensure_future(store.write(change)) for change in changes]
    await asyncio.sleep(0)  # each task has run up to its first wait: it is in the writer's queue
    return tasks


def put(key: str, value: str = "x") -> Callable[[Connection], str]:
    def change(conn: Connection) -> str:
        conn.execute(insert(meta).values(key=key, value=value))
        return key

    return change


def keys(conn: Connection) -> set[str]:
    return set(conn.execute(select(meta.c.key)).scalars()) - {"incarnation"}


async def test_a_second_process_is_refused_and_the_first_goes_on(store: SqliteStore, path: Path) -> None:
    with pytest.raises(StoreInUse) as caught:
        await SqliteStore(path=path).start()

    assert caught.value.details == {"path": str(path)}
    assert await store.write(put("still")) == "still"


async def test_another_name_of_the_file_is_the_same_file(store: SqliteStore, path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    other.symlink_to(path)

    with pytest.raises(StoreInUse):
        await SqliteStore(path=other).start()


async def test_who_stops_gives_the_file_free(store: SqliteStore, path: Path) -> None:
    await store.write(put("kept"))
    await store.stop()

    second = SqliteStore(path=path)
    await second.start()
    assert await second.read(keys) == {"kept"}
    assert second.incarnation == store.incarnation
    await second.stop()


@pytest.mark.promise("X-05")
async def test_its_files_are_nobody_elses(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "legato.db"
    before = os.umask(0)
    try:
        store = SqliteStore(path=path)
        await store.start()
    finally:
        os.umask(before)
    await store.write(put("x"))
    await store.read(keys)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    await store.stop()

    assert modes == dict.fromkeys(["legato.db", "legato.db-wal", "legato.db-shm", "legato.db.lock"], 0o600)


@pytest.mark.promise("X-05")
async def test_a_file_that_others_could_read_is_closed_to_them(path: Path) -> None:
    os.chmod(path, 0o644)
    store = SqliteStore(path=path)
    await store.start()
    await store.write(put("x"))
    modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    await store.stop()

    assert modes == {0o600}


async def test_a_commit_is_on_disk_before_anybody_hears_of_it(store: SqliteStore) -> None:
    def settings(conn: Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "secure_delete", "foreign_keys", "query_only")
        return [conn.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    assert await store.write(settings) == ["wal", 2, 1, 1, 0]
    assert await store.read(settings) == ["wal", 2, 1, 1, 1]


async def test_what_waits_is_committed_together_and_one_failure_is_nobody_elses(store: SqliteStore) -> None:
    def fail(conn: Connection) -> None:
        put("half done")(conn)
        lock(conn, "ses_none", None)

    commits: list[object] = []
    with closed_gate(store) as gate:
        await anyio.to_thread.run_sync(gate.entered.wait)
        jobs = await submitted(store, put("a"), fail, put("b"), put("a"), put("c"))
        event.listen(store._engines[1], "commit", commits.append)
        gate.open()
        results = await asyncio.gather(*jobs, return_exceptions=True)

    assert [results[0], results[2], results[4]] == ["a", "b", "c"]
    assert isinstance(results[1], SessionNotFound)
    assert type(results[3]).__name__ == "IntegrityError"
    assert await store.read(keys) == {"a", "b", "c"}
    assert len(commits) == 2  # the gate's own, and one for all five


async def test_the_order_of_writing_is_that_of_asking(store: SqliteStore) -> None:
    order: list[int] = []
    with closed_gate(store) as gate:
        jobs = await submitted(store, *[lambda conn, n=n: order.append(n) for n in range(600)])
        gate.open()
        await asyncio.gather(*jobs)

    assert order == list(range(600))


async def test_who_stops_waiting_undoes_nothing(store: SqliteStore) -> None:
    with closed_gate(store) as gate:
        (job,) = await submitted(store, put("written"))
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        gate.open()
    await store.write(lambda conn: None)  # what was asked for before is done

    assert await store.read(keys) == {"written"}


async def test_who_stops_waiting_for_a_read_stops_nobody(store: SqliteStore) -> None:
    gate = Gate()
    readers = [asyncio.ensure_future(store.read(gate)) for _ in range(6)]  # two more than there are threads
    await anyio.to_thread.run_sync(gate.entered.wait)
    for reader in readers:
        reader.cancel()
    gate.open()

    assert await store.read(keys) == set()
    assert all(
        isinstance(gone, asyncio.CancelledError) for gone in await asyncio.gather(*readers, return_exceptions=True)
    )


async def test_stop_finishes_what_is_under_way(path: Path) -> None:
    store = SqliteStore(path=path)
    await store.start()
    gate = Gate()
    with closed_gate(store) as write_gate:
        writes = await submitted(store, put("a"), put("b"))
        reading = asyncio.ensure_future(store.read(gate))
        await anyio.to_thread.run_sync(gate.entered.wait)
        stopping = asyncio.ensure_future(store.stop())
        await asyncio.sleep(0)
        gate.open()
        write_gate.open()
        await asyncio.gather(stopping, reading)
        assert await asyncio.gather(*writes) == ["a", "b"]
    for late in (store.write, store.read):
        with pytest.raises(Unavailable):
            await late(keys)

    again = SqliteStore(path=path)
    await again.start()
    assert await again.read(keys) == {"a", "b"}
    await again.stop()


async def test_before_its_start_a_store_is_unavailable(path: Path) -> None:
    store = SqliteStore(path=path)
    for early in (store.write, store.read):
        with pytest.raises(Unavailable):
            await early(keys)
    await store.stop()


async def test_a_store_can_be_started_again(path: Path) -> None:
    store = SqliteStore(path=path)
    for key in ("a", "b"):
        await store.start()
        await store.write(put(key))
        await store.stop()
    await store.start()
    assert await store.read(keys) == {"a", "b"}
    await store.stop()


async def test_a_full_disk_makes_the_store_unavailable_until_there_is_room(store: SqliteStore) -> None:
    def limit(conn: Connection, pages: int) -> None:
        conn.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    await store.write(limit, 1)  # SQLite takes the size the file has
    with closed_gate(store) as gate:
        jobs = await submitted(store, put("small"), put("big", "x" * 1_000_000), put("small too"))
        gate.open()
        results = await asyncio.gather(*jobs, return_exceptions=True)
    assert [type(result) for result in results] == [str, StoreFull, str]  # those for whom there is room go alone
    assert await store.read(keys) == {"small", "small too"}

    await store.write(limit, 1_000_000)
    assert await store.write(put("big", "x" * 1_000_000)) == "big"


async def test_an_error_of_the_disk_does_not_say_what_was_written(store: SqliteStore) -> None:
    await store.write(lambda conn: conn.exec_driver_sql("PRAGMA max_page_count=1"))
    with pytest.raises(Unavailable) as caught:
        await store.write(put("secret key", "secret " * 200_000))

    assert "secret" not in str(caught.value) + caught.value.message


async def test_a_reader_of_a_database_that_broke_is_told_that_it_is_unavailable(store: SqliteStore, path: Path) -> None:
    def destroyed(conn: Connection) -> None:
        raise sqlite_error(conn, "DatabaseError", "database disk image is malformed")

    for work in (store.read, store.write):
        with pytest.raises(Unavailable):
            await work(destroyed)
    assert await store.write(put("x")) == "x"


async def test_who_reads_a_damaged_page_is_told_so_and_who_writes_may_try_again(store: SqliteStore) -> None:
    def damaged(conn: Connection) -> None:
        error = sqlite_error(conn, "DatabaseError", "database disk image is malformed")
        error.orig.sqlite_errorcode = 11  # type: ignore[attr-defined]
        raise error

    with pytest.raises(Corrupted):
        await store.read(damaged)
    with pytest.raises(Unavailable):
        await store.write(damaged)


async def test_text_that_is_none_any_more_is_damage_and_no_outage(store: SqliteStore) -> None:
    await store.write(put("damaged"))
    await store.write(lambda conn: conn.exec_driver_sql("UPDATE meta SET value = CAST(x'78ff' AS TEXT)"))

    def look(conn: Connection) -> object:
        return conn.execute(select(meta.c.value).where(meta.c.key == "damaged")).scalar()

    def look_and_go_on(conn: Connection) -> None:
        with pytest.raises(Corrupted):
            look(conn)
        put("after it")(conn)

    with pytest.raises(Corrupted):
        await store.read(look)
    with closed_gate(store) as gate:
        jobs = await submitted(store, look, put("beside it"), look_and_go_on)
        gate.open()
        results = await asyncio.gather(*jobs, return_exceptions=True)
    assert [type(result) for result in results] == [Corrupted, str, type(None)]
    assert {"beside it", "after it"} <= await store.read(keys)


async def test_a_write_lock_that_somebody_holds_makes_nobody_wait_for_the_others(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that waited are told when the first of them would have been."""
    monkeypatch.setattr(sqlite, "_BUSY_MS", 200)
    store = SqliteStore(path=path)
    await store.start()
    # By the same library: locks of a file are a process's, and another one in here would not see them.
    held = sqlite._dbapi().connect(path, isolation_level=None)
    held.execute("BEGIN IMMEDIATE")
    jobs = await submitted(store, *[put(str(number)) for number in range(100)])
    with anyio.fail_after(15):  # a hundred times 0.2 s are 20
        results = await asyncio.gather(*jobs, return_exceptions=True)
    held.execute("ROLLBACK")
    held.close()
    assert {type(result) for result in results} == {Unavailable}
    assert await store.write(put("free")) == "free"
    await store.stop()


async def test_a_mistake_in_a_statement_is_no_outage(store: SqliteStore) -> None:
    for work in (store.read, store.write):
        with pytest.raises(ProgrammingError):
            await work(lambda conn: conn.exec_driver_sql("SELECT ?", (1, 2)))
    assert await store.write(put("x")) == "x"


def sqlite_error(conn: Connection, name: str, message: str) -> Exception:
    """What SQLAlchemy makes of an error of SQLite."""
    original = getattr(conn.dialect.loaded_dbapi, name)(message)
    error: Exception = getattr(exc, name)(None, None, original)
    return error


@pytest.mark.parametrize("content", [b"no database at all " * 500, b"SQLite format 3\x00" + b"\xff" * 4096])
async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    for _ in range(2):  # the second time, nobody holds the lock
        with pytest.raises(Unavailable):
            await SqliteStore(path=path).start()
    assert path.read_bytes() == content


async def test_a_directory_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        await SqliteStore(path=tmp_path).start()


async def test_a_database_of_a_newer_version_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    for _ in range(2):
        with pytest.raises(SchemaMismatch, match="9999"):
            await SqliteStore(path=path).start()


async def test_an_incarnation_is_made_once_for_each_database(path: Path, tmp_path: Path) -> None:
    stores = [SqliteStore(path=tmp_path / name) for name in ("a.db", "b.db", "a.db")]
    for store in stores:
        await store.start()
        await store.stop()

    assert stores[0].incarnation == stores[2].incarnation != stores[1].incarnation


@pytest.mark.promise("S-03")
async def test_sessions_of_the_same_instant_are_paged_by_their_ids(store: SqliteStore) -> None:
    ids = {(await new_session(store)).session.id for _ in range(7)}
    found: list[str] = []
    cursor: str | None = None
    while not found or cursor is not None:
        page = await store.read(sessions.page, "ann", limit=2, cursor=cursor)
        found += [session.id for session in page.data]
        cursor = page.next

    assert found == sorted(ids, reverse=True)


@pytest.mark.promise("E-01")
async def test_a_clock_that_goes_back_confuses_nobody(store: SqliteStore, clock: Clock) -> None:
    told = await Conversation.begin(store)
    await told.answer()
    for jump_us in (-3_600_000_000, 10, -5, 7_200_000_000):
        clock.us += jump_us
        await told.answer()
        await told.send()
        await told.withdraw((await told.state()).turns[-1].id)
    await told.agree()


async def test_a_reader_sees_one_instant_while_others_write(store: SqliteStore) -> None:
    started, go_on = threading.Event(), threading.Event()

    def look_twice(conn: Connection) -> tuple[set[str], set[str]]:
        before = keys(conn)
        started.set()
        assert go_on.wait(PATIENCE_S)
        return before, keys(conn)

    reading = asyncio.ensure_future(store.read(look_twice))
    await anyio.to_thread.run_sync(started.wait)
    await store.write(put("meanwhile"))
    go_on.set()

    assert await reading == (set(), set())
    assert await store.read(keys) == {"meanwhile"}


@pytest.mark.promise("S-08")
async def test_what_was_cleared_is_not_in_the_files(store: SqliteStore, path: Path) -> None:
    told = await Conversation.begin(store)
    await told.answer("Rumpelstilzchen " * 100, "What is Rumpelstilzchen?")
    await told.start("Rumpelstilzchen?")
    await told.clear()
    await store.stop()

    left = {file.name for file in path.parent.iterdir() if b"Rumpelstilzchen" in file.read_bytes()}
    assert left == set()


@pytest.mark.parametrize(
    "url",
    ["", "legato.db", "mysql://localhost/x", "sqlite://", "sqlite:///:memory:", "sqlite:///", "://", "postgres"],
)
def test_what_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(Misuse):
        open_store(url)


def test_the_library_is_the_standard_one_where_that_is_new_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Erasing terms of an index needs SQLite 3.42."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 42, 0))
    assert sqlite._dbapi() is sqlite3

    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 41, 9))
    assert sqlite._dbapi().__name__ == "pysqlite3.dbapi2"


@pytest.mark.promise("R-05")
@pytest.mark.parametrize("way", ["read", "write", "write beside another", "append"])
async def test_who_forgets_an_error_closes_no_cursor_of_another_threads(store: SqliteStore, way: str) -> None:
    """It would reset the statement that the connection runs by then: "bad parameter or other API misuse"."""
    cursors: list[weakref.ref[Any]] = []

    def decoded(rows: Any) -> Iterator[str]:
        for row in rows:
            raise ValueError(row)
        yield ""

    def fails(conn: Any) -> None:
        text = "SELECT 1 UNION ALL SELECT 2"
        rows = conn.execute(text) if way == "append" else conn.exec_driver_sql(text)
        cursors.append(weakref.ref(rows if way == "append" else rows.cursor))
        try:
            next(decoded(rows))
        except ValueError as error:
            raise Corrupted from error

    async def beside_another() -> None:
        with closed_gate(store):
            tasks = await submitted(store, fails, lambda conn: None)
        await asyncio.gather(*tasks)

    ways: dict[str, Callable[[], Awaitable[None]]] = {
        "read": lambda: store.read(fails),
        "write": lambda: store.write(fails),
        "write beside another": beside_another,
        "append": lambda: store._alone(fails),  # on the driver's own connection, as appends are
    }
    with pytest.raises(Corrupted) as told:
        await ways[way]()
    assert told.value.__cause__ is not None, "somebody still has the error"
    assert [cursor() for cursor in cursors] == [None]
