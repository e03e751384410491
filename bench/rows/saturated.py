"""What one core carries of 100 turns.

*One by one*: the model offers single tokens, evenly spaced and each in a write of its own, ever faster; what counts is the
fastest pace at which at least 97 % of what was sent was delivered. *As read*: the model sends as fast as it is read, one
token or 16 in a write. There at most 256 tokens of a turn are under way between the model and the reader, so that "as it
is read" does not mean what the kernel's buffers hold; a server that is behind reads several at once.
"""

import asyncio
from typing import Final

from bench.bench import Bench
from bench.crowd import Crowd, Spent, closing
from bench.report import Line, median
from bench.upstream import Script

_TURNS: Final = 100
_RATE: Final = 20.0
_TEMPI: Final = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0, 24.0, 28.0)
_SUSTAINED: Final = 0.97
_MISSES: Final = 2  # one may be the machine's
IN_BATCHES: Final = Script(window=256, per_write=16)
_MODES: Final = {
    "as read, one a write": (Script(window=256), None),
    "as read, 16 a write": (IN_BATCHES, 50_000),
}


async def measure(bench: Bench) -> list[Line]:
    names = ("legato", "sdk")
    lines = [_line("one by one", name, [await capacity(bench, name)], 16_000) for name in names]
    for mode, (script, limit) in _MODES.items():
        lines += [_line(mode, name, await as_read(bench, name, script), limit) for name in names]
    return lines


def _line(mode: str, name: str, windows: list[Spent], limit: float | None) -> Line:
    return Line(
        row="saturated",
        what=f"{mode}, {name}",
        measured=median(each.words_per_s for each in windows),
        unit="tokens/s",
        limit=limit if name == "legato" else None,
        at_least=True,
        note=said(windows),
    )


async def capacity(bench: Bench, name: str) -> Spent:
    """The fastest pace that one server keeps up with."""
    upstream, best = bench.upstream, Spent(1.0, 0, 0, 0.0, 0.0, 0.0)
    with bench.target(name) as target, closing(Crowd(target, upstream)) as crowd:
        target.prepare(_TURNS)
        await crowd.connect(_TURNS)
        await crowd.begin_all(Script(rate=_RATE), 0.5)
        await crowd.speaking()
        try:
            missed = 0
            for tempo in _TEMPI:
                upstream.tempo = tempo
                await asyncio.sleep(0.7)
                sent = upstream.sent
                window = await crowd.window(bench.scaled(2.0, 1.0))
                if not best.words or window.words >= _SUSTAINED * (upstream.sent - sent):
                    best, missed = window, 0
                else:
                    missed += 1
                if missed == _MISSES:
                    break
            await crowd.drain()
        finally:
            upstream.tempo = 1.0
    return best


async def as_read(bench: Bench, name: str, script: Script) -> list[Spent]:
    """Three windows of one saturated server."""
    with bench.target(name) as target, closing(Crowd(target, bench.upstream)) as crowd:
        target.prepare(_TURNS)
        await crowd.connect(_TURNS)
        await crowd.begin_all(script, 0.5)
        await crowd.speaking()
        await crowd.window(0.5)
        windows = [await crowd.window(bench.scaled(3.0, 1.0)) for _ in range(3)]
        await crowd.drain()
        return windows


def said(windows: list[Spent]) -> str:
    merged = sum(each.words for each in windows) / sum(each.events for each in windows)
    busy = median(each.busy for each in windows)
    load = median(each.load for each in windows)
    foreign = max(each.foreign for each in windows)
    return f"{merged:.1f} a event; core {busy:.0%} busy, load's {load:.0%}; others on the core ≤ {foreign:.0%}"
