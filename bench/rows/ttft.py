"""Added time to first token: from the send to the first token event, without the model's own delay.

``n`` connections send one turn after the other. A turn speaks at 10 tokens/s for about as long as it takes all connections
to begin, so that sends are spread evenly and, once all have begun, ``n`` turns run at every instant. What is measured
are the turns sent from then on, in three windows; the line is the median of the windows' quantiles.
"""

import asyncio
import random
import time
from typing import Final

from bench.bench import Bench
from bench.client import Reading
from bench.crowd import Crowd, closing
from bench.report import Line, median, quantile
from bench.upstream import Script

_RATE: Final = 10.0
_DELAY_S: Final = 0.02  # the model's own
#: turns at once → how long each speaks, and how long it is measured; the limits of p50 and p95 in milliseconds
_LEVELS: Final = {1: (0.1, 12.0, 4.0, 8.0), 50: (4.0, 12.0, 5.0, 15.0), 500: (20.0, 15.0, 8.0, 40.0)}
_WINDOWS: Final = 3


async def measure(bench: Bench) -> list[Line]:
    lines: list[Line] = []
    for turns, (speaks_s, measured_s, p50_ms, p95_ms) in _LEVELS.items():
        for name in ("legato", "sdk"):
            measured_s = bench.scaled(measured_s, measured_s / 3)
            p50, p95, note = await _level(bench, name, turns, speaks_s, measured_s)
            limits = (p50_ms, p95_ms) if name == "legato" else (None, None)
            what = f"{turns} turn{'s' if turns > 1 else ''}, {name}"
            lines.append(Line(row="ttft", what=f"{what}, p50", measured=p50, unit="ms", limit=limits[0], note=note))
            lines.append(Line(row="ttft", what=f"{what}, p95", measured=p95, unit="ms", limit=limits[1]))
    return lines


async def _level(bench: Bench, name: str, turns: int, speaks_s: float, measured_s: float) -> tuple[float, float, str]:
    with bench.target(name) as target, closing(Crowd(target, bench.upstream)) as crowd:
        target.prepare(int(turns * (2 + measured_s / speaks_s * 1.5)) + 10)
        await crowd.connect(turns)
        begin = time.perf_counter()
        measure_from = begin + speaks_s * 1.2
        until = measure_from + measured_s
        async with asyncio.TaskGroup() as group:
            for place in range(turns):
                group.create_task(_talk(crowd, place, speaks_s, begin + speaks_s * place / turns, until))
        windows: list[list[float]] = [[] for _ in range(_WINDOWS)]
        for reading in crowd.readings:
            at = int((reading.sent_at - measure_from) / measured_s * _WINDOWS)
            if reading.sent_at >= measure_from and at < _WINDOWS:
                windows[at].append(_added_ms(reading))
        crowd.check()
    sends = sum(map(len, windows))
    p50, p95 = (median(quantile(window, share) for window in windows) for share in (0.5, 0.95))
    return p50, p95, f"{sends} turns, {sends / measured_s:.0f} a second"


async def _talk(crowd: Crowd, place: int, speaks_s: float, at: float, until: float) -> None:
    await asyncio.sleep(max(0.0, at - time.perf_counter()))
    while time.perf_counter() < until:
        length = speaks_s * random.uniform(0.8, 1.2)  # noqa: S311 - else they would all keep step
        await crowd.begin(place, Script(words=max(2, round(length * _RATE)), rate=_RATE, delay_s=_DELAY_S))


def _added_ms(reading: Reading) -> float:
    flow = reading.flow
    return ((reading.first_at - reading.sent_at) - (flow.first_at - flow.asked_at)) * 1000
