"""Added time to first token: from the send to the first token event, without the model's own delay.

``n`` connections send one turn after the other. A turn speaks (at 10 tokens/s; a single one at 50) for about as long
as it takes all connections to begin, so that sends are spread evenly and, once all have begun, ``n`` turns run at
every instant. What is measured are the turns sent from then on, in three windows; the line is the median of the
windows' quantiles.
"""

import asyncio
import random
import time
from typing import Final, NamedTuple

from bench.bench import Bench
from bench.client import Reading
from bench.crowd import Crowd, closing
from bench.report import Line, median, quantile
from bench.upstream import Script

_DELAY_S: Final = 0.02  # the model's own


class _Level(NamedTuple):
    turns: int
    rate: float
    speaks_s: float
    measured_s: float
    p50_ms: float
    p95_ms: float


_LEVELS: Final = (
    _Level(1, 50.0, 0.1, 10.0, 4.0, 8.0),
    _Level(50, 10.0, 4.0, 12.0, 5.0, 15.0),
    _Level(500, 10.0, 20.0, 15.0, 8.0, 40.0),
)
_WINDOWS: Final = 3


async def measure(bench: Bench) -> list[Line]:
    lines: list[Line] = []
    for level in _LEVELS:
        for name in ("legato", "sdk"):
            p50, p95, note = await _at(bench, name, level)
            limits = (level.p50_ms, level.p95_ms) if name == "legato" else (None, None)
            what = f"{level.turns} turn{'s' if level.turns > 1 else ''}, {name}"
            lines.append(Line(row="ttft", what=f"{what}, p50", measured=p50, unit="ms", limit=limits[0], note=note))
            lines.append(Line(row="ttft", what=f"{what}, p95", measured=p95, unit="ms", limit=limits[1]))
    return lines


async def _at(bench: Bench, name: str, level: _Level) -> tuple[float, float, str]:
    measured_s = bench.scaled(level.measured_s, level.measured_s / 2)
    with bench.target(name) as target, closing(Crowd(target, bench.upstream)) as crowd:
        target.prepare(int(level.turns * (2.5 + measured_s / level.speaks_s)) + 10)
        await crowd.connect(level.turns)
        begin = time.perf_counter()
        measure_from = begin + level.speaks_s * 1.2
        until = measure_from + measured_s
        cpu = target.cpu_s()
        async with asyncio.TaskGroup() as group:
            for place in range(level.turns):
                start = begin + level.speaks_s * place / level.turns
                group.create_task(_talk(crowd, place, level, start, until))
            await asyncio.sleep(until - time.perf_counter())
            await crowd.drain()
        cpu = target.cpu_s() - cpu
        took = time.perf_counter() - begin
    windows: list[list[float]] = [[] for _ in range(_WINDOWS)]
    for reading in crowd.readings:
        at = int((reading.sent_at - measure_from) / measured_s * _WINDOWS)
        if reading.sent_at >= measure_from and at < _WINDOWS:
            windows[at].append(_added_ms(reading))
    sends = sum(map(len, windows))
    p50, p95 = (median(quantile(window, share) for window in windows) for share in (0.5, 0.95))
    return p50, p95, f"{sends} turns, {sends / measured_s:.0f} a second; core {cpu / took:.0%} busy"


async def _talk(crowd: Crowd, place: int, level: _Level, at: float, until: float) -> None:
    await asyncio.sleep(max(0.0, at - time.perf_counter()))
    while time.perf_counter() < until:
        length = level.speaks_s * random.uniform(0.8, 1.2)  # noqa: S311 - else they would all keep step
        await crowd.begin(place, Script(words=max(2, round(length * level.rate)), rate=level.rate, delay_s=_DELAY_S))


def _added_ms(reading: Reading) -> float:
    flow = reading.flow
    return ((reading.first_at - reading.sent_at) - (flow.first_at - flow.asked_at)) * 1000
