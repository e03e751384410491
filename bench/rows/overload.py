"""Three times as much as a core carries: what is still delivered, and whether memory stays bounded.

What it carries is measured first, as in the row *saturated* (one by one, 100 turns). Then 300 turns are offered three
times that, in writes of eight: one process can't make so many single ones. Whoever does not read is not sent more:
the model's side of the socket fills up and stays full.
"""

from typing import Final

from bench.bench import Bench
from bench.crowd import Crowd, Spent, closing
from bench.machine import memory
from bench.report import Line, median
from bench.rows.saturated import capacity, said
from bench.upstream import Script

_TURNS: Final = 300
_TIMES: Final = 3
_LEAST: Final = 0.8


async def measure(bench: Bench) -> list[Line]:
    carried = await capacity(bench, "legato")
    windows, before, peaks = await _overload(bench, _TIMES * carried.words_per_s)
    delivered = median(each.words_per_s for each in windows)
    return [
        Line(
            row="overload",
            what=f"{_TIMES} × {carried.words_per_s:,.0f} tokens/s offered: share of the full rate delivered",
            measured=delivered / carried.words_per_s,
            unit="",
            limit=_LEAST,
            at_least=True,
            note=f"{delivered:,.0f} tokens/s; {said(windows)}",
        ),
        Line(
            row="overload",
            what=f"memory with {_TURNS} turns, at the most",
            measured=max(peaks) / 1024,
            unit="MiB",
            note=f"{before / 1024:.0f} idle, then {', '.join(f'{peak / 1024:.0f}' for peak in peaks)}",
        ),
    ]


async def _overload(bench: Bench, offered: float) -> tuple[list[Spent], int, list[int]]:
    with bench.target("legato") as target, closing(Crowd(target, bench.upstream)) as crowd:
        target.prepare(_TURNS)
        before = memory(target.pid).rss
        await crowd.connect(_TURNS)
        await crowd.begin_all(Script(rate=offered / _TURNS, per_write=8), 3.0)
        await crowd.speaking()
        windows: list[Spent] = []
        peaks: list[int] = []
        for _ in range(bench.scaled(6, 3)):
            windows.append(await crowd.window(2.0))
            peaks.append(memory(target.pid).rss)
        await crowd.drain()
    return windows, before, peaks
