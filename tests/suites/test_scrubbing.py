"""SQLite: of what was deleted no byte is left in any file, whatever else is done to the database (guarantee G12)."""

import random
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import pytest
from sqlalchemy import Connection

from legato.core.errors import Unavailable
from legato.store import erasing, sessions, sqlite_scrub
from legato.store.sqlite import _DBAPI as DBAPI
from legato.store.sqlite import SqliteStore
from legato.store.sqlite_pages import Pages, middle
from tests.suites.conftest import copied
from tests.support.canary import places
from tests.support.conversation import meter, new_session

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S-07")]
PATIENCE_S = 60
SECRET: Final = "Rumpelstilzchen"
PAGE: Final = 4096
BATCH: Final = 500
ENTER: Final = (
    "INSERT INTO journal (session_id, first_seq, last_seq, at, crc, payload) VALUES (?, ?, ?, legato_now(), 0, ?)"
)


@pytest.fixture
def path(blank_sqlite: Path, tmp_path: Path) -> Path:
    return copied(blank_sqlite, tmp_path)


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path=path)
    await store.start()
    with anyio.fail_after(PATIENCE_S):
        yield store
    await store.stop()


class Crowd:
    """Many sessions that write in turns, so that their rows stand side by side and pages are divided all the time."""

    def __init__(self, store: SqliteStore, seed: int) -> None:
        self.secret: list[str] = []
        self.others: list[str] = []
        self._store = store
        self._random = random.Random(seed)
        self._heads: dict[str, int] = {}

    async def gather(self, size: int = 40) -> None:
        for place in range(size):
            session_id = (await new_session(self._store)).session.id
            (self.secret if place % 3 == 0 else self.others).append(session_id)
            self._heads[session_id] = 1

    async def write(self, rows: int, *, only: list[str] | None = None) -> None:
        """So many rows, of all kinds of length."""
        for _ in range(rows // BATCH):
            await self._store.write(self._write, only or self.secret + self.others)

    async def erase(self) -> None:
        for session_id in self.secret:
            await self._store.write(erasing.remove, session_id, "ann", meter)
            while not (await self._store.write(erasing.erase, session_id, 100)).last:
                pass
            await self._store.write(erasing.forget, session_id)

    def _write(self, conn: Connection, among: list[str]) -> None:
        conn.exec_driver_sql(ENTER, [self._row(self._random.choice(among)) for _ in range(BATCH)])

    def _row(self, session_id: str) -> tuple[str, int, int, bytes]:
        self._heads[session_id] += 1
        word = SECRET if session_id in self.secret else "harmless"
        text = f"{word} " * self._random.choice([1, 4, 12, 60, 100, 400])
        return session_id, self._heads[session_id], self._heads[session_id], text.encode()


def log_bytes(path: Path) -> int:
    """How long the write-ahead log is."""
    return Path(f"{path}-wal").stat().st_size


def touch(conn: Connection) -> None:
    """Write each page of the journal anew."""
    conn.exec_driver_sql("UPDATE journal SET at = at + 1")


@pytest.mark.parametrize("seed", range(2))
async def test_no_byte_is_left_in_any_file(store: SqliteStore, path: Path, seed: int) -> None:
    crowd = Crowd(store, seed)
    await crowd.gather()
    await crowd.write(30_000)
    await crowd.erase()
    assert places(path.parent, SECRET), "this test shows nothing"
    assert await store.scrub()
    assert places(path.parent, SECRET) == []

    await crowd.write(10_000, only=crowd.others)
    assert await store.scrub()
    assert places(path.parent, SECRET) == []
    await store.stop()
    with DBAPI.connect(path) as console:
        assert console.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    await store.start()


async def test_secure_delete_alone_would_leave_some(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the wiping is for. Should SQLite learn it one day, this test says so. Where pages are divided is a matter of chance
    (of the sessions' ids): about one crowd of twelve leaves nothing."""
    found: set[str] = set()
    for seed in range(6):
        crowd = Crowd(store, seed)
        await crowd.gather()
        await crowd.write(30_000)
        await crowd.erase()
        with monkeypatch.context() as patched:
            patched.setattr(Pages, "wipe", lambda self, numbers: None)
            assert await store.scrub()
        found = {place.partition(":")[0] for place in places(path.parent, SECRET)}
        if found:
            break
    assert found == {"legato.db"}
    assert await store.scrub()


async def test_the_writer_does_not_bring_back_what_it_still_knew(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has copies of the pages as they were before they were wiped; here of all, as they are few."""
    crowd = Crowd(store, 0)
    await crowd.gather()
    await crowd.write(9_000)
    await crowd.erase()
    assert await store.scrub()
    await store.write(touch)
    monkeypatch.setattr(Pages, "wipe", lambda self, numbers: None)
    assert await store.scrub()
    assert places(path.parent, SECRET) == []


async def test_who_reads_meanwhile_is_waited_for(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_scrub, "_TRIES", 2)
    console = DBAPI.connect(path, isolation_level=None)
    console.execute("BEGIN")
    console.execute("SELECT count(*) FROM sessions").fetchall()
    await new_session(store, title=SECRET)
    assert not await store.scrub()
    console.execute("COMMIT")
    console.close()
    assert await store.scrub()
    assert log_bytes(path) == 0


async def test_nothing_is_wiped_while_somebody_else_writes(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A console that comes between the two looks: what it wrote may belong where the middle of a page was."""
    monkeypatch.setattr(sqlite_scrub, "_TRIES", 1)
    crowd = Crowd(store, 0)
    await crowd.gather(8)
    await crowd.write(5_000)
    wiped: list[list[int]] = []
    emptied = sqlite_scrub.empty_log

    def interrupted(connection: object) -> bool:
        done = emptied(connection)
        with DBAPI.connect(path) as console:
            console.execute("INSERT INTO meta VALUES ('console', 'was here') ON CONFLICT DO UPDATE SET value = 'again'")
        return done

    monkeypatch.setattr(sqlite_scrub, "empty_log", interrupted)
    monkeypatch.setattr(Pages, "wipe", lambda self, numbers: wiped.append(numbers))
    assert not await store.scrub()
    assert wiped == []


async def test_the_locks_of_the_connections_are_kept(store: SqliteStore, path: Path) -> None:
    """Whoever closes a file gives up all locks of his process on it; a console would then take the log away."""
    await store.scrub()
    await new_session(store)
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM meta').fetchall(); c.close()"
    )
    await anyio.run_process([sys.executable, "-c", code, str(path)])
    assert log_bytes(path) > 0


async def test_a_stopped_store_scrubs_nothing(store: SqliteStore) -> None:
    await store.stop()
    with pytest.raises(Unavailable):
        await store.scrub()
    await store.start()


async def test_others_write_while_it_scrubs(store: SqliteStore, path: Path) -> None:
    crowd = Crowd(store, 1)
    await crowd.gather()
    await crowd.write(10_000)
    await crowd.erase()
    async with anyio.create_task_group() as both:
        both.start_soon(partial(crowd.write, 10_000, only=crowd.others))
        for _ in range(3):
            await store.scrub()
    assert await store.scrub()
    found = await store.read(sessions.page, "ann", limit=100)
    assert {session.id for session in found.data} == set(crowd.others)


def page_of(kind: int, cells: int, content: int) -> bytes:
    head = bytes([kind]) + (0).to_bytes(2, "big") + cells.to_bytes(2, "big") + content.to_bytes(2, "big")
    return head + b"x" * (PAGE - len(head))


@pytest.mark.parametrize(
    ("page", "found"),
    [
        (page_of(10, 3, 4000), (14, 4000)),
        (page_of(13, 0, 4096), (8, 4096)),
        (page_of(2, 3, 4000), (18, 4000)),
        (page_of(5, 1, 14), None),  # full
        (page_of(0, 3, 4000), None),  # a free page, or one that goes on where a cell was too long
        (page_of(10, 3, 4097), None),
        (page_of(10, 5000, 100), None),
    ],
)
def test_the_middle_of_a_page(page: bytes, found: tuple[int, int] | None) -> None:
    assert middle(page, first=False, reserved=0) == found


def test_the_first_page_begins_with_the_files_own_header() -> None:
    assert middle(b"S" * 100 + page_of(13, 2, 3000)[:-100], first=True, reserved=0) == (112, 3000)
    assert middle(page_of(10, 3, 4090), first=False, reserved=8) is None
