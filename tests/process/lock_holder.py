"""Somebody else who holds the write lock of a database for a while: a person at a console, a backup, a migration.

On SQLite that is a process of its own (``python -m tests.process.lock_holder FILE SECONDS``): locks of a file are a process's.
"""

import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import asyncpg
from anyio.streams.buffered import BufferedByteReceiveStream

_ROOT: Final = Path(__file__).parents[2]


@asynccontextmanager
async def write_lock(url: str, seconds: float) -> AsyncIterator[None]:
    """Holds the write lock of the database at ``url`` for ``seconds`` from when the body begins; ends when it is free."""
    if url.startswith("sqlite"):
        async with _of_file(url.removeprefix("sqlite:///"), seconds):
            yield
    else:
        async with _of_table(url, seconds):
            yield


@asynccontextmanager
async def _of_file(path: str, seconds: float) -> AsyncIterator[None]:
    command = [sys.executable, "-m", "tests.process.lock_holder", path, str(seconds)]
    async with await anyio.open_process(command, cwd=_ROOT, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        await BufferedByteReceiveStream(process.stdout).receive_until(b"held\n", 100)
        yield
        assert await process.wait() == 0


@asynccontextmanager
async def _of_table(url: str, seconds: float) -> AsyncIterator[None]:
    connection: Any = await asyncpg.connect(url)
    until = time.monotonic() + seconds
    try:
        await connection.execute("BEGIN")
        await connection.execute("LOCK TABLE sessions IN EXCLUSIVE MODE")
        yield
        await anyio.sleep(max(0.0, until - time.monotonic()))
        await connection.execute("ROLLBACK")
    finally:
        await connection.close()


def _main() -> None:
    from legato.store.sqlite import _dbapi

    path, seconds = sys.argv[1], float(sys.argv[2])
    connection = _dbapi().connect(path, timeout=30, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    print("held", flush=True)
    time.sleep(seconds)
    connection.execute("ROLLBACK")
    connection.close()


if __name__ == "__main__":
    _main()
