"""Scrubbing a SQLite database: what was deleted leaves its write-ahead log, and the middle of its pages (guarantee G12).

While it goes on others write: it is done in steps of the one writer's, each of some milliseconds. In each the log is emptied
into the file first, so that the file alone is the database, and a write transaction keeps everybody else, a console too,
from writing while a step wipes.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from legato.store.sqlite_pages import Pages

T = TypeVar("T")

_BUSY_MS: Final = 20  # what who wants to write waits for who reads
_AT_ONCE: Final = 500  # pages that are wiped in a step: 3 ms
_TRIES: Final = 20
_PAUSE_S: Final = 0.05

#: Runs a function of the writer's connection in its thread, outside of any transaction.
Alone = Callable[[Callable[[Any], bool]], Awaitable[bool]]


class Aside(Protocol):
    """Runs a function in a thread that holds up nobody."""

    def __call__(self, function: Callable[..., T], /, *args: Any) -> Awaitable[T]: ...


async def scrub(*, path: Path, pages: Pages, alone: Alone, aside: Aside) -> bool:
    """Whether it was done; else somebody has read for too long, and who asks again later has more luck."""
    if not await _patiently(alone, empty_log):
        return False
    found: list[int] = []
    chunks = pages.littered()
    while (more := await aside(next, chunks, None)) is not None:
        found += more
        while len(found) >= _AT_ONCE:
            some, found = found[:_AT_ONCE], found[_AT_ONCE:]
            if not await _patiently(alone, partial(_wipe, path, pages, some)):
                return False
    if found and not await _patiently(alone, partial(_wipe, path, pages, found)):
        return False
    await aside(pages.sync)
    return True


async def _patiently(alone: Alone, step: Callable[[Any], bool]) -> bool:
    for _ in range(_TRIES):
        if await alone(step):
            return True
        await asyncio.sleep(_PAUSE_S)
    return False


def empty_log(connection: Any) -> bool:
    """Whether all that was written is in the database's file now, and its write-ahead log is empty."""
    (before,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
    try:
        (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy
    finally:
        connection.execute(f"PRAGMA busy_timeout={before}")


def _wipe(path: Path, pages: Pages, numbers: list[int], connection: Any) -> bool:
    if not empty_log(connection):
        return False
    connection.execute("BEGIN IMMEDIATE")
    try:
        if os.path.getsize(f"{path}-wal"):  # a console was faster
            return False
        pages.wipe(numbers)
        return True
    finally:
        connection.execute("ROLLBACK")
        connection.execute("PRAGMA shrink_memory")  # its copies of the pages are as before, and would be written again
