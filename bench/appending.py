"""``python -m bench.appending <database URL> <seconds> <tokens>``: 100 running turns say all that the journal takes.

No HTTP, no model, no reader: the engine's group commit on the store. Each turn says one token and lets the others speak; with
``tokens`` it waits after so many until they are durable, which makes rows of that many. Prints JSON.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import asyncpg
import msgspec
import uvloop

from bench.filling import begin_turn
from bench.machine import SERVER_CORE, cpu_s, pin, written_bytes
from legato.core.ids import new_id
from legato.doorbell.local import LocalDoorbell
from legato.doorbell.postgres import PostgresDoorbell
from legato.engine.diagnostics import Diagnostics
from legato.engine.hub import Hub
from legato.engine.journal import Journal, TurnWriter
from legato.engine.lists import Lists
from legato.engine.publish import Publisher
from legato.engine.tasks import Tasks
from legato.store import workers
from legato.store.opening import open_store
from legato.store.port import Batch, Row

_TURNS: Final = 100
_WORD: Final = "12345 "


class Result(msgspec.Struct, kw_only=True):
    tokens: int
    seconds: float
    cpu_s: float
    commits: int
    rows: int
    written: int


class _Counting:
    """The store's ``append``, counted."""

    def __init__(self, append: Any) -> None:
        self.commits = 0
        self.rows = 0
        self._append = append

    async def __call__(self, batches: Sequence[Batch]) -> list[Row | None]:
        self.commits += 1
        self.rows += len(batches)
        rows: list[Row | None] = await self._append(batches)
        if None in rows:
            raise RuntimeError("a batch was refused")
        return rows


async def _measure(url: str, seconds: float, tokens_a_row: int) -> Result:
    store, tasks = open_store(url), Tasks()
    await store.start()
    counted = _Counting(store.append)
    store.append = counted  # type: ignore[method-assign] # counted at the port, as any driver
    doorbell = PostgresDoorbell(url=url) if store.shared else LocalDoorbell()
    await doorbell.start(lambda _ids: None)
    hub, lists = Hub(store=store, tasks=tasks), Lists(store=store, tasks=tasks)
    diagnostics = Diagnostics()
    publisher = Publisher(store=store, hub=hub, lists=lists, doorbell=doorbell, tasks=tasks, diagnostics=diagnostics)
    journal = Journal(store=store, publisher=publisher, tasks=tasks, diagnostics=diagnostics)
    worker = new_id("wrk")
    await store.write(workers.register, worker)
    claimed = [await store.write(begin_turn, worker, "Go.") for _ in range(_TURNS)]
    writers = [journal.writer(c.session.id, c.turn.id, c.epoch, c.after) for c in claimed]
    answers = [c.turn.answer_id or "" for c in claimed]
    loop = asyncio.get_running_loop()
    await _all_speak(writers, answers, loop.time() + 0.3, tokens_a_row)  # every connection has met its statements
    counted.commits = counted.rows = 0
    await _mark(url, "bench begins")
    written, cpu, begin = await _written(url), cpu_s(os.getpid()), loop.time()
    tokens = await _all_speak(writers, answers, begin + seconds, tokens_a_row)
    took = loop.time() - begin
    await _mark(url, "bench ends")
    result = Result(
        tokens=tokens,
        seconds=took,
        cpu_s=cpu_s(os.getpid()) - cpu,
        commits=counted.commits,
        rows=counted.rows,
        written=await _written(url) - written,
    )
    await doorbell.stop()
    await tasks.settle(5)
    await store.stop()
    return result


async def _all_speak(writers: list[TurnWriter], answers: list[str], until: float, tokens_a_row: int) -> int:
    speaking = [_speak(writer, answer, until, tokens_a_row) for writer, answer in zip(writers, answers, strict=True)]
    return sum(await asyncio.gather(*speaking))


async def _speak(writer: TurnWriter, message_id: str, until: float, tokens_a_row: int) -> int:
    """How many tokens were said, all of them durable."""
    said, clock = 0, asyncio.get_running_loop().time
    while clock() < until:
        writer.token(message_id, 0, "text", _WORD)
        said += 1
        await writer.room()
        if tokens_a_row and said % tokens_a_row == 0:
            await writer.flush()
        else:
            await asyncio.sleep(0)
    await writer.flush()
    return said


async def _written(url: str) -> int:
    """Bytes that went to the disk: of this process, or into PostgreSQL's log ahead."""
    if not url.startswith("postgresql"):
        return written_bytes("self")
    connection = await _connect(url)
    found: int = await connection.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint")
    await connection.close()
    return found


async def _mark(url: str, words: str) -> None:
    """A line in PostgreSQL's log of statements."""
    if url.startswith("postgresql"):
        connection = await _connect(url)
        await connection.execute(f"SELECT '{words}'")
        await connection.close()


async def _connect(url: str) -> Any:
    return await asyncpg.connect(url, server_settings={"application_name": "bench"})


if __name__ == "__main__":
    pin(os.getpid(), SERVER_CORE)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(_measure(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])))
    sys.stdout.write(msgspec.json.encode(found).decode())
