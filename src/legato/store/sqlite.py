"""The store on SQLite: one writer thread that groups transactions into commits, a few reader threads.

Every call runs in a thread of ours and is never cancelled: who stops waiting does not stop it. The writer's connection
alone writes and checkpoints (SQLite before 3.51.3 can corrupt a WAL that two connections reset). ``synchronous=FULL``: a
commit has been synced before anybody hears of it; one sync serves all that waited for it.
"""

import asyncio
import contextlib
import fcntl
import os
import sqlite3
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from types import ModuleType
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, DBAPIError
from sqlalchemy.pool import QueuePool, StaticPool

from legato.core.errors import StoreInUse, Unavailable
from legato.store.journal import append_batches, append_by_driver
from legato.store.port import Batch, Row
from legato.store.sqlite_pages import Pages
from legato.store.sqlite_scrub import scrub
from legato.store.trouble import of_sqlite, read_of_sqlite, unreadable
from legato.store.upgrade import incarnation, upgrade

P = ParamSpec("P")
T = TypeVar("T")

_GROUP: Final = 256  # transactions a commit may carry: bounds what one failing disk takes down with it
_WAITING: Final = 10_000
_READERS: Final = 4
_BUSY_MS: Final = 5_000


def _dbapi() -> ModuleType:
    if sqlite3.sqlite_version_info >= (3, 42):
        return sqlite3
    import pysqlite3.dbapi2  # only where the system's SQLite is too old

    module: ModuleType = pysqlite3.dbapi2
    return module


_DBAPI: Final = _dbapi()


def now_us() -> int:
    """The wall clock in microseconds."""
    return time.time_ns() // 1_000


class SqliteStore:
    """A store in one file, for one process: a second one is refused at start."""

    shared = False

    def __init__(self, *, path: Path, clock_us: Callable[[], int] = now_us) -> None:
        self.incarnation = ""
        self._path = path.resolve()  # its lock must be found under every name of the file
        self._clock_us = clock_us
        self._lock_file = self._file = -1
        self._writer: _Writer | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._engines: list[Engine] = []

    async def start(self) -> None:
        """Raises StoreInUse, SchemaMismatch, Unavailable."""
        self._take_lock()
        writing = self._engine("BEGIN IMMEDIATE", StaticPool, {})
        reading = self._engine("BEGIN", QueuePool, {"pool_size": _READERS, "max_overflow": 0})
        self._engines = [reading, writing]
        self._writer = _Writer(writing)
        self._writer.start()
        try:
            await self.write(upgrade)
            self.incarnation = await self.write(incarnation)
        except BaseException:
            await self.stop()
            raise
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="legato-read")
        self._reading = reading

    async def stop(self) -> None:
        """Finish what is under way, checkpoint, close, give the file free."""
        if self._readers is not None:
            readers, self._readers = self._readers, None
            await asyncio.to_thread(readers.shutdown)
        if self._writer is not None:
            await self._writer.stop()
        for engine in self._engines:  # the writer's last: closing the last connection checkpoints
            engine.dispose()
        if self._lock_file >= 0:
            os.close(self._file)  # not before all connections are closed: their locks would go with it
            os.close(self._lock_file)
            self._lock_file = self._file = -1

    async def read(self, query: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self._readers is None:
            raise Unavailable
        return await self._in_a_reader(self._read, lambda conn: query(conn, *args, **kwargs))

    async def _in_a_reader(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self._readers is None:
            raise Unavailable
        future = self._readers.submit(function, *args, **kwargs)
        return await asyncio.shield(asyncio.wrap_future(future))

    def _read(self, query: Callable[[Connection], T]) -> T:
        try:
            with self._reading.connect() as conn, conn.begin(), _nothing_left_open():
                return query(conn)
        except DatabaseError as error:
            if not _is_the_databases_own(_cause(error)):
                raise
            raise read_of_sqlite(error) from error

    async def write(self, change: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self._writer is None:
            raise Unavailable
        return await self._writer.submit(_Job(lambda conn: change(conn, *args, **kwargs)))

    async def vital(self, change: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.write(change, *args, **kwargs)  # nobody watches a process that is alone

    async def append(self, batches: Sequence[Batch]) -> list[Row | None]:
        if self._writer is None:
            raise Unavailable
        by_driver = partial(append_by_driver, batches=batches)
        return await self._writer.submit(_Job(lambda conn: append_batches(conn, batches), by_driver))

    async def scrub(self) -> bool:
        """Empty the write-ahead log into the file, and wipe what lies between the cells of its pages."""
        pages = Pages(self._file)
        return await scrub(path=self._path, pages=pages, alone=self._alone, aside=self._in_a_reader)

    async def _alone(self, step: Callable[[Any], T]) -> T:
        if self._writer is None:
            raise Unavailable
        return await self._writer.submit(_Alone(step))

    def _take_lock(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = _owners_only(Path(f"{self._path}.lock"))
        except OSError as error:
            raise Unavailable(str(error)) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file = _owners_only(self._path)  # SQLite gives its -wal and -shm the mode of the database
        except BlockingIOError as error:
            os.close(descriptor)
            raise StoreInUse(path=str(self._path)) from error
        except OSError as error:
            os.close(descriptor)
            raise Unavailable(str(error)) from error
        self._lock_file = descriptor

    def _engine(self, begin: str, pool: type[Any], options: dict[str, Any]) -> Engine:
        engine = create_engine(
            f"sqlite:///{self._path}",
            module=_DBAPI,
            poolclass=pool,
            hide_parameters=True,  # they are people's messages
            connect_args={"check_same_thread": False, "isolation_level": None, "timeout": _BUSY_MS / 1000},
            **options,
        )
        event.listen(engine, "connect", partial(self._prepare, writer=begin != "BEGIN"))
        event.listen(engine, "handle_error", lambda context: unreadable(context.original_exception))
        event.listen(engine, "begin", lambda conn: conn.exec_driver_sql(begin))
        return engine

    def _prepare(self, connection: Any, _record: object, *, writer: bool) -> None:
        connection.create_function("legato_now", 0, self._clock_us)
        pragmas = ["foreign_keys=ON", "synchronous=FULL", "secure_delete=ON", "cache_size=-16384"]
        pragmas += (
            # A checkpoint keeps the writer: of 64 MB, for 70 ms; of 8 MB, for less than a person can notice.
            ["journal_mode=WAL", "wal_autocheckpoint=2000"] if writer else ["wal_autocheckpoint=0", "query_only=ON"]
        )
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")


def _owners_only(path: Path) -> int:
    """A descriptor of the file, which is made if it isn't there; nobody else may read it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.fchmod(descriptor, 0o600)
    return descriptor


class _Job(Generic[T]):
    """A change; ``by_driver`` is the same without SQLAlchemy, which takes as long as the commit of a few words."""

    __slots__ = ("by_driver", "change", "error", "future", "result")

    def __init__(self, change: Callable[[Connection], T], by_driver: Callable[[Any], T] | None = None) -> None:
        self.change = change
        self.by_driver = by_driver
        self.future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.result: Any = None
        self.error: Exception | None = None

    def settle(self) -> None:
        if self.future.done():
            return  # who asked no longer waits
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class _Alone(_Job[T]):
    """Something for the driver's connection, outside of any transaction."""


class _Writer:
    """The thread that writes. While one commit is on its way to disk, whatever arrives forms the next."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Any = None
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._left: _Alone[Any] | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="legato-write", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def stop(self) -> None:
        """Wait until everything that was submitted is done; told in the loop, so that nothing is submitted after the last."""
        self._stopping = True
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def submit(self, job: _Job[T]) -> "asyncio.Future[T]":
        """Its result, some time. Whoever stops waiting for it does not stop it."""
        if self._stopping or self._jobs.qsize() >= _WAITING:
            raise Unavailable  # a disk that can't keep up must not fill the memory
        self._jobs.put(job)
        return job.future

    def _run(self) -> None:
        while group := self._next():
            if isinstance(group[0], _Alone):
                self._run_alone(group[0])
            else:
                self._commit(group)
            with contextlib.suppress(RuntimeError):  # the loop is gone, and everybody who could have waited
                self._loop.call_soon_threadsafe(_settle, group)

    def _next(self) -> list[_Job[Any]]:
        """What waits; nothing when it is time to stop."""
        if self._left is not None:
            alone, self._left = self._left, None
            return [alone]
        group: list[_Job[Any]] = []
        job = self._jobs.get()
        while job is not None:
            if isinstance(job, _Alone) and group:
                self._left = job
                return group
            group.append(job)
            if isinstance(job, _Alone):
                return group
            if len(group) == _GROUP or self._jobs.empty():
                return group
            job = self._jobs.get()
        if group:
            self._jobs.put(None)  # after these
        return group

    def _commit(self, group: list[_Job[Any]]) -> None:
        begun = False
        try:
            if all(job.by_driver is not None for job in group):
                connection = self._driver()
                connection.execute("BEGIN IMMEDIATE")
                begun = True
                _run_by_driver(connection, group)
                return
            with self._engine.connect() as conn, conn.begin(), _nothing_left_open():
                begun = True
                for job in group:
                    _attempt(conn, job, alone=len(group) == 1)
        except Exception as error:  # the thread must outlive it; whoever waits is told
            # Whose fault it was shows when each goes alone. Nothing enters twice by that: in a WAL, a COMMIT that fails has not
            # committed, and its frames are written over.
            if begun and len(group) > 1:
                for job in group:
                    self._commit([job])
                return
            # Nobody's, when it could not even begin: each would wait for the same lock in turn.
            told = of_sqlite(error) if _is_the_databases_own(_cause(error)) else error
            for job in group:
                job.error = told

    def _run_alone(self, job: _Alone[Any]) -> None:
        try:
            with _nothing_left_open():
                job.result = job.change(self._driver())
        except Exception as error:  # as above
            job.error = of_sqlite(error) if _is_the_databases_own(error) else error

    def _driver(self) -> Any:
        if self._connection is None:
            self._connection = self._engine.raw_connection().driver_connection  # the pool has no other, and keeps it
        return self._connection


def _run_by_driver(connection: Any, group: list[_Job[Any]]) -> None:
    """Appends need no savepoints: what is refused is no error, and what fails is the database's own."""
    try:
        with _nothing_left_open():
            for job in group:
                assert job.by_driver is not None  # noqa: S101 - all of them have one
                job.error, job.result = None, job.by_driver(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _settle(group: Iterable[_Job[Any]]) -> None:
    for job in group:
        job.settle()


def _attempt(conn: Connection, job: _Job[Any], *, alone: bool) -> None:
    """Run one job, beside others in a savepoint: its failure undoes nothing of its neighbours'."""
    job.error = None  # of an earlier try, in a group that was undone
    if alone:
        job.result = job.change(conn)
        return
    try:
        with conn.begin_nested(), _nothing_left_open():
            job.result = job.change(conn)
    except Exception as error:
        if _is_the_databases_own(_cause(error)):
            raise  # nobody's transaction can go on
        job.error = error  # belongs to whoever submitted it, who gets it


@contextmanager
def _nothing_left_open() -> Iterator[None]:
    """Empties the frames of an exception while its thread still has the connection.

    They hold cursors that were read in part. Closed by whoever forgets the exception last, in another thread, such a cursor
    resets a statement that somebody else runs by then, who is told of an "API misuse".
    """
    try:
        yield
    except Exception as error:
        told: BaseException | None = error
        while told is not None:
            traceback.clear_frames(told.__traceback__)
            told = told.__context__
        raise


def _cause(error: BaseException) -> BaseException:
    """The driver's own error, where SQLAlchemy has wrapped it."""
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def _is_the_databases_own(cause: BaseException) -> bool:
    """Whether the database failed (a full disk, a damaged file), not what was asked of it (a constraint)."""
    return isinstance(cause, _DBAPI.OperationalError) or type(cause) is _DBAPI.DatabaseError
