"""Side work never hurts (guarantee G19): whole turns while the small model behind titles hangs, or talks nonsense.

``n`` connections send one turn after the other, each in a session of its own, so that each turn asks for a title. What is
measured is the time from the send to the end of the stream; the line is the p95 beside that of a server which makes no
titles, as a ratio. Servers take turns, so that a slow minute of the machine is everybody's.
"""

import asyncio
import random
import time
from typing import Final

from bench.bench import Bench
from bench.crowd import Crowd, closing
from bench.report import Line, median, quantile
from bench.upstream import Script, TitleModel

_TURNS: Final = 50
_RATE: Final = 20.0
_SPEAKS_S: Final = 2.0
_LIMIT: Final = 1.05
_MODES: Final[dict[str, TitleModel]] = {"a model that hangs": "hangs", "a model that talks nonsense": "garbage"}


async def measure(bench: Bench) -> list[Line]:
    rounds = bench.scaled(3, 2)
    without: list[float] = []
    during: dict[str, list[float]] = {what: [] for what in _MODES}
    asked = dict.fromkeys(_MODES, 0)
    for _ in range(rounds):
        without.append((await _p95(bench, None))[0])
        for what, model in _MODES.items():
            p95, titles = await _p95(bench, model)
            during[what].append(p95)
            asked[what] += titles
    lines = [Line(row="side", what="whole turns without titles, p95", measured=median(without), unit="ms")]
    for what, found in during.items():
        p95 = median(found)
        note = f"p95 {p95:,.0f} ms; {asked[what]} titles were asked for in {rounds} rounds"
        ratio = p95 / median(without)
        lines.append(
            Line(row="side", what=f"{what}, p95 to without", measured=ratio, unit="×", limit=_LIMIT, note=note)
        )
    return lines


async def _p95(bench: Bench, model: TitleModel | None) -> tuple[float, int]:
    """Of whole turns, in ms, and how many titles were asked for."""
    upstream = bench.upstream
    asked, upstream.title_model = upstream.titles, model or "hangs"
    measured_s = bench.scaled(15.0, 8.0)
    with bench.legato(titles=model is not None) as target, closing(Crowd(target, upstream)) as crowd:
        target.prepare(int(_TURNS * (2.5 + measured_s / _SPEAKS_S)))
        await crowd.connect(_TURNS)
        begin = time.perf_counter()
        measure_from = begin + _SPEAKS_S * 1.2
        until = measure_from + measured_s
        async with asyncio.TaskGroup() as group:
            for place in range(_TURNS):
                group.create_task(_talk(crowd, place, begin + _SPEAKS_S * place / _TURNS, until))
            await asyncio.sleep(until - time.perf_counter())
            await crowd.drain()
    took = [1000 * (each.ended_at - each.sent_at) for each in crowd.readings if measure_from <= each.sent_at < until]
    return quantile(took, 0.95), upstream.titles - asked


async def _talk(crowd: Crowd, place: int, at: float, until: float) -> None:
    await asyncio.sleep(max(0.0, at - time.perf_counter()))
    while time.perf_counter() < until:
        await crowd.begin(place, Script(words=int(_SPEAKS_S * _RATE), rate=_RATE))
        await asyncio.sleep(random.uniform(0.0, 0.1))  # noqa: S311 - else they would all keep step
