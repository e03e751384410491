"""Resident memory: of the idle server, of one more idle stream, of one more running turn.

A running turn is followed by the stream that asked for it; what a stream costs is taken off.
"""

import asyncio
from typing import Final

from bench.bench import Bench
from bench.crowd import Crowd, closing, until
from bench.machine import memory
from bench.report import Line, median
from bench.servers import LegatoTarget
from bench.upstream import Flow, Script

_STREAMS: Final = 1000
_TURNS: Final = 500
_WARM: Final = 50


async def measure(bench: Bench) -> list[Line]:
    bases: list[float] = []
    streams: list[float] = []
    turns: list[float] = []
    for _ in range(bench.scaled(3, 1)):
        with bench.legato() as target:
            bases.append(memory(target.pid).rss)
            own = memory(target.pid).own
            streams.append(await _idle_streams(bench, target))
        with bench.legato() as target:
            turns.append(await _running_turns(bench, target) - streams[-1])
    note = f"of its own {own / 1024:.0f} MiB"
    return [
        Line(row="memory", what="idle server", measured=median(bases) / 1024, unit="MiB", limit=80.0, note=note),
        Line(row="memory", what=f"one of {_STREAMS} idle streams", measured=median(streams), unit="KiB", limit=16.0),
        Line(row="memory", what=f"one of {_TURNS} running turns", measured=median(turns), unit="KiB", limit=30.0),
    ]


async def _idle_streams(bench: Bench, target: LegatoTarget) -> float:
    """KiB for each."""
    target.prepare(_STREAMS + _WARM)
    with closing(Crowd(target, bench.upstream)) as crowd:
        await crowd.connect(_STREAMS + _WARM)
        flow = Flow(Script())
        for place in range(_WARM):
            crowd.follow(place, target.events(target.session()), flow)
        await asyncio.sleep(1.0)
        before = memory(target.pid).rss
        for place in range(_WARM, _WARM + _STREAMS):
            crowd.follow(place, target.events(target.session()), flow)
            if place % 50 == 0:
                await asyncio.sleep(0.05)
        await until(lambda: crowd.counts.begun >= _WARM + _STREAMS, 60, "not every stream was opened")
        await asyncio.sleep(2.0)
        crowd.check()
        return (memory(target.pid).rss - before) / _STREAMS


async def _running_turns(bench: Bench, target: LegatoTarget) -> float:
    """KiB for each, its stream included."""
    target.prepare(_TURNS + _WARM)
    with closing(Crowd(target, bench.upstream)) as crowd:
        await crowd.connect(_TURNS + _WARM)
        for place in range(_WARM):
            await _begin(crowd, place)
        await crowd.speaking()
        await asyncio.sleep(1.0)
        before = memory(target.pid).rss
        for place in range(_WARM, _WARM + _TURNS):
            await _begin(crowd, place)
        await crowd.speaking()
        await asyncio.sleep(2.0)
        used = (memory(target.pid).rss - before) / _TURNS
        await crowd.drain()
        return used


async def _begin(crowd: Crowd, place: int) -> None:
    crowd.begin(place, Script(rate=1.0))
    await asyncio.sleep(0.02)
