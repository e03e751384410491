"""Three times as much as a core carries: what is still delivered, and whether memory stays bounded.

What it carries is measured first, as in the row *saturated* (as read, 16 a write, 100 turns). Then 300 turns are offered
three times that, in the same writes and whether it is read or not. Where the model's side of a socket is full, the
model waits: what it would have said meanwhile counts as offered.
"""

from typing import Final

from bench.bench import Bench
from bench.crowd import Crowd, Spent, closing
from bench.machine import memory
from bench.report import Line, median
from bench.rows.saturated import IN_BATCHES, as_read
from bench.upstream import Script

_TURNS: Final = 300
_TIMES: Final = 3
_LEAST: Final = 0.8
_BOUNDED: Final = 1.1  # what does not grow any more


async def measure(bench: Bench) -> list[Line]:
    full = median(each.words_per_s for each in await as_read(bench, "legato", IN_BATCHES))
    windows, before, peaks = await _overload(bench, _TIMES * full)
    delivered = sum(each.words for each in windows) / sum(each.seconds for each in windows)
    each_window = ", ".join(f"{each.words_per_s / 1000:,.0f}" for each in windows)
    return [
        Line(
            row="overload",
            what=f"{_TIMES} × {full:,.0f} tokens/s offered: share of the full rate delivered",
            measured=delivered / full,
            unit="",
            limit=_LEAST,
            at_least=True,
            note=f"{delivered:,.0f} tokens/s; in windows of 2 s: {each_window} thousand",
        ),
        Line(
            row="overload",
            what=f"memory with {_TURNS} turns, at the most",
            measured=max(peaks) / 1024,
            unit="MiB",
            note=f"{before / 1024:.0f} idle, then {', '.join(f'{peak / 1024:.0f}' for peak in peaks)}",
        ),
        Line(
            row="overload",
            what="memory at the end / half-way",
            measured=peaks[-1] / peaks[len(peaks) // 2 - 1],
            unit="",
            limit=_BOUNDED,
        ),
    ]


async def _overload(bench: Bench, offered: float) -> tuple[list[Spent], int, list[int]]:
    with bench.target("legato") as target, closing(Crowd(target, bench.upstream)) as crowd:
        target.prepare(_TURNS)
        before = memory(target.pid).rss
        await crowd.connect(_TURNS)
        await crowd.begin_all(Script(rate=offered / _TURNS, per_write=IN_BATCHES.per_write), 3.0)
        await crowd.speaking()
        windows: list[Spent] = []
        peaks: list[int] = []
        for _ in range(bench.scaled(8, 4)):
            windows.append(await crowd.window(2.0))
            peaks.append(memory(target.pid).rss)
        await crowd.drain()
    return windows, before, peaks
