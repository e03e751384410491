"""Coming back: the first event at random cursors of a long finished journal, and how fast all of it is replayed.

The journal has 100,000 token events. A live turn writes a row for each commit, most of which hold one event; where rows
hold 16, they were written under load. *From disk*: the first requests of a server that was just started, whose file the
kernel was told to forget.
"""

import asyncio
import os
import random
import time
from pathlib import Path
from typing import Final

from bench import filling
from bench.bench import Bench
from bench.client import Broken, Counts, Reading, connect
from bench.machine import cpu_s
from bench.report import Line, median, quantile
from bench.servers import Api, LegatoTarget
from bench.upstream import MAX_WORDS, Flow, Script

_EVENTS: Final = MAX_WORDS // 16 * 16
_FIRST_MS: Final = 5.0
_REPLAY: Final = 500_000


async def measure(bench: Bench) -> list[Line]:
    lines: list[Line] = []
    for per_row in (1, 16):
        path = bench.directory / f"resume-{per_row}.db"
        session = await filling.long_journal(path, _EVENTS, per_row)
        lines += await _journal(bench, path, session, per_row)
    return lines


async def _journal(bench: Bench, path: Path, session: str, per_row: int) -> list[Line]:
    rows = f"{per_row} event{'s' if per_row > 1 else ''} a row"
    with bench.legato(f"sqlite:///{path}") as target:
        warm = await _first(target, session, bench.scaled(300, 100))
        replays = [await _replay(target, session) for _ in range(bench.scaled(5, 3))]
    _forget(path)
    with bench.legato(f"sqlite:///{path}") as target:
        cold = await _first(target, session, bench.scaled(100, 50))
        _forget(path)
    with bench.legato(f"sqlite:///{path}") as target:
        from_disk, _ = await _replay(target, session)
    rate = median(each for each, _ in replays)
    per_cpu = median(each for _, each in replays)
    return [
        _first_line(f"first event, {rows}", warm),
        _first_line(f"first event, {rows}, after a restart, from disk", cold),
        Line(
            row="resume",
            what=f"replay, {rows}",
            measured=rate,
            unit="events/s",
            limit=_REPLAY,
            at_least=True,
            note=f"{per_cpu:,.0f} a CPU-second of the server; from disk {from_disk:,.0f}",
        ),
    ]


def _first_line(what: str, took: list[float]) -> Line:
    note = f"p95 {quantile(took, 0.95):.1f} ms, slowest {max(took):.1f}"
    return Line(row="resume", what=f"{what}, p50", measured=median(took), unit="ms", limit=_FIRST_MS, note=note)


async def _first(target: LegatoTarget, session: str, times: int) -> list[float]:
    """Milliseconds from the request to the first frame with data, each on a connection of its own."""
    incarnation, _, head = _cursor(target, session).partition(".")
    took: list[float] = []
    for _ in range(times):
        after = random.randrange(int(head) - 1)  # noqa: S311
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port, limit=1 << 20)
        begin = time.perf_counter()
        writer.write(target.events(session, f"{incarnation}.{after}"))
        found = await reader.readuntil(b"\ndata: ")
        took.append((time.perf_counter() - begin) * 1000)
        if b"id: %b.%d\n" % (incarnation.encode(), after + 1) not in found:
            raise Broken(f"asked for what follows {after}, got {found[-200:]!r}")
        writer.close()
    return took


async def _replay(target: LegatoTarget, session: str) -> tuple[float, float]:
    """Events a second, and a CPU-second of the server."""
    flow, counts = Flow(Script()), Counts()
    reading = Reading(flow, target.token, leads=False)
    connection = await connect(target.port, counts)
    cpu = cpu_s(target.pid)
    ended = connection.send(target.events(session), reading)
    while reading.words < _EVENTS:
        if ended.done():
            ended.result()
        await asyncio.sleep(0.001)
        if time.perf_counter() - reading.sent_at > 60:
            raise Broken(f"only {reading.words} of {_EVENTS} were replayed")
    took = time.perf_counter() - reading.sent_at
    connection.close()
    return reading.events / took, reading.events / max(cpu_s(target.pid) - cpu, 0.01)


def _cursor(target: LegatoTarget, session: str) -> str:
    api = Api(target.port)
    cursor = api.ask("GET", f"/v1/sessions/{session}?limit=1")["cursor"]
    api.close()
    return str(cursor)


def _forget(path: Path) -> None:
    """Nothing of the file stays in memory."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
