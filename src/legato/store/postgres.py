"""The store on PostgreSQL: for several processes and machines."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from legato.core.errors import Misuse, Unavailable
from legato.store.journal import append_batches
from legato.store.port import Batch, Row
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


class PostgresStore:
    """A store that any number of processes may share."""

    shared = True

    def __init__(self, *, url: str, pool_size: int = 8) -> None:
        self.incarnation = ""
        self._engine: AsyncEngine = create_async_engine(
            make_url(url).set(drivername="postgresql+asyncpg"),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=10,
            hide_parameters=True,  # they are people's messages
            connect_args={"server_settings": dict(_SETTINGS), "timeout": 5},
        )
        self._snapshot = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._auto = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._calls: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Raises Unavailable, SchemaMismatch; Misuse: the server would acknowledge what it has not synced."""
        await self.write(upgrade)
        self.incarnation = await self.write(incarnation)
        if await self.read(_fsync) != "on":
            raise Misuse("PostgreSQL runs with fsync off: it would lose what it has acknowledged")

    async def stop(self) -> None:
        if self._calls:
            await asyncio.wait(self._calls)
        await self._engine.dispose()

    async def read(self, query: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._call(_transaction(self._snapshot, query, *args, **kwargs))

    async def write(self, change: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._call(_transaction(self._engine, change, *args, **kwargs))

    async def append(self, batches: Sequence[Batch]) -> list[Row | None]:
        return await self._call(_transaction(self._auto, append_batches, batches))

    async def _call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end whatever becomes of the caller: a cancelled statement would cost its connection."""
        task = asyncio.get_running_loop().create_task(work)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        try:
            return await asyncio.shield(task)
        except IntegrityError:
            raise
        except (DBAPIError, OSError, TimeoutError) as error:
            raise Unavailable(str(getattr(error, "orig", error))) from error


async def _transaction(
    engine: AsyncEngine, work: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    async with engine.connect() as conn, conn.begin():
        return await conn.run_sync(work, *args, **kwargs)


def _fsync(conn: Connection) -> str:
    return str(conn.exec_driver_sql("SHOW fsync").scalar())
