"""The store on PostgreSQL: for several processes and machines."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import asyncpg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from legato.core.errors import Invalid, LegatoError, Misuse, Unavailable
from legato.store.journal import append_batches
from legato.store.port import Batch, Row
from legato.store.trouble import of_postgres, read_of_postgres
from legato.store.upgrade import incarnation, upgrade

P = ParamSpec("P")
T = TypeVar("T")

# A stuck neighbour costs its own request, never everybody's: waits for locks and forgotten transactions end.
_SETTINGS: Final = {
    "application_name": "legato",
    "lock_timeout": "5s",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "30s",
    "synchronous_commit": "on",
}


_COMMAND_S: Final = 35.0  # just above the server's own limit: for connections that went away without a word
_APPENDERS: Final = 4
_WAIT_S: Final = 10.0  # for a free connection
_STOP_S: Final = 1.0  # what calls on their way get when the process stops; their connections end with it

log = logging.getLogger("legato.store")


class PostgresStore:
    """A store that any number of processes may share."""

    shared = True

    def __init__(self, *, url: str, pool_size: int = 6, wait_s: float = _WAIT_S) -> None:
        self.incarnation = ""
        # Lanes: changes that wait for a locked session hold up neither who reads, nor what running turns say, nor the
        # heartbeat, without which others declare this process dead.
        snapshot = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._changing = _Lane(url, pool_size, wait_s)
        self._reading = _Lane(url, pool_size, wait_s, snapshot)
        self._appending = _Lane(url, _APPENDERS, wait_s, {"isolation_level": "AUTOCOMMIT"})
        self._beating = _Lane(url, 1, wait_s)
        self._calls: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Raises Unavailable, SchemaMismatch; Misuse: the server would acknowledge what it has not synced."""
        try:
            await self.write(upgrade)
            self.incarnation = await self.write(incarnation)
            if await self.read(_setting, "fsync") != "on":
                raise Misuse("PostgreSQL runs with fsync off: it would lose what it has acknowledged")
            if await self.read(_setting, "full_page_writes") != "on":
                # Right on a file system that never tears a page, which nobody can ask it.
                log.warning("PostgreSQL runs with full_page_writes off: a power cut may damage what it has stored")
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        if self._calls:
            await asyncio.wait(self._calls, timeout=_STOP_S)
        for lane in (self._changing, self._reading, self._appending, self._beating):
            await lane.close()

    async def read(self, query: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._call(self._reading.run(query, *args, **kwargs), read_of_postgres)

    async def write(self, change: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._call(self._changing.run(change, *args, **kwargs))

    async def vital(self, change: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._call(self._beating.run(change, *args, **kwargs))

    async def append(self, batches: Sequence[Batch]) -> list[Row | None]:
        try:
            return await self._call(self._appending.run(append_batches, batches))
        except IntegrityError as error:
            # An earlier try whose connection broke was still waiting on the server and has entered just now: ask again.
            raise Unavailable from error

    async def scrub(self) -> bool:
        return True  # the server's own: vacuum, and the recycling of its write-ahead log

    async def _call(
        self, work: Coroutine[Any, Any, T], trouble: Callable[[BaseException], LegatoError] = of_postgres
    ) -> T:
        """Run to the end whatever becomes of the caller: a cancelled statement would cost its connection."""
        task = asyncio.get_running_loop().create_task(work)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        try:
            return await asyncio.shield(task)
        except IntegrityError:
            raise
        except (DBAPIError, OSError, TimeoutError) as error:
            cause = getattr(error, "orig", None) or error
            # "Data exception" and "program limit exceeded": to try again is in vain.
            if str(getattr(cause, "sqlstate", None)).startswith(("22", "54")):
                raise Invalid("A value is too long or too large to be stored.") from error
            raise trouble(cause) from error


def _engine(url: str, pool_size: int) -> AsyncEngine:
    """asyncpg reads the URL itself, as the doorbell's does, so that ``sslmode`` and its like mean the same to both."""

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(url, server_settings=dict(_SETTINGS), timeout=5, command_timeout=_COMMAND_S)

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_size=pool_size,
        max_overflow=0,
        isolation_level="READ COMMITTED",
        hide_parameters=True,  # they are people's messages
    )


class _Lane:
    """Connections of one kind, in order: the pool itself gives what comes back to whoever asks at that moment."""

    def __init__(self, url: str, places: int, wait_s: float, options: Mapping[str, Any] | None = None) -> None:
        self._engine = _engine(url, places).execution_options(**(options or {}))
        self._places = asyncio.Semaphore(places)
        self._wait_s = wait_s

    async def run(self, work: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """``work`` in a transaction of its own. Raises TimeoutError: no connection became free."""
        async with asyncio.timeout(self._wait_s):
            await self._places.acquire()
        try:
            async with self._engine.connect() as conn, conn.begin():
                return await conn.run_sync(work, *args, **kwargs)
        finally:
            self._places.release()

    async def close(self) -> None:
        await self._engine.dispose()


def _setting(conn: Connection, name: str) -> str:
    return str(conn.exec_driver_sql(f"SHOW {name}").scalar())
