"""CPU-seconds per million tokens: 100 turns of 50 tokens/s, steady.

Counted are the model's tokens that reached the reader; Legato may deliver several of them as one event. The beginning and the
end of turns lie outside the windows; what a whole run of short turns costs stands in a line of its own.
"""

import time
from typing import Final

from bench.bench import Bench
from bench.crowd import Crowd, Spent, closing
from bench.report import Line, median
from bench.upstream import Script

_TURNS: Final = 100
_RATE: Final = 50.0
_WHOLE_WORDS: Final = 250
_NAMES: Final = ("legato", "sdk", "aiohttp")


async def measure(bench: Bench) -> list[Line]:
    spent: dict[str, list[Spent]] = {name: [] for name in _NAMES}
    whole: dict[str, list[float]] = {name: [] for name in _NAMES}
    for _ in range(bench.scaled(3, 1)):
        for name in _NAMES:
            steady, all_of_it = await _run(bench, name)
            spent[name].append(steady)
            whole[name].append(all_of_it)
    cost = {name: median(each.cpu_s_per_million for each in spent[name]) for name in _NAMES}
    return [
        Line(row="tokens", what="legato", measured=cost["legato"], unit="CPU-s/M tokens", note=_said(spent["legato"])),
        Line(row="tokens", what="sdk", measured=cost["sdk"], unit="CPU-s/M tokens", note=_said(spent["sdk"])),
        Line(
            row="tokens", what="aiohttp", measured=cost["aiohttp"], unit="CPU-s/M tokens", note=_said(spent["aiohttp"])
        ),
        Line(row="tokens", what="legato / sdk", measured=cost["legato"] / cost["sdk"], unit="", limit=0.62),
        Line(
            row="tokens",
            what="legato / aiohttp (stretch)",
            measured=cost["legato"] / cost["aiohttp"],
            unit="",
            limit=1.0,
        ),
        Line(
            row="tokens",
            what=f"legato, whole turns of {_WHOLE_WORDS} tokens",
            measured=median(whole["legato"]),
            unit="CPU-s/M tokens",
            note=f"sdk {median(whole['sdk']):.0f}, aiohttp {median(whole['aiohttp']):.0f}",
        ),
    ]


async def _run(bench: Bench, name: str) -> tuple[Spent, float]:
    window_s = bench.scaled(4.0, 2.0)
    with bench.target(name) as target:
        target.prepare(2 * _TURNS)
        idle = target.idle(1.0)
        with closing(Crowd(target, bench.upstream, idle=idle)) as crowd:
            await crowd.connect(_TURNS)
            await crowd.begin_all(Script(rate=_RATE), 1.0)
            await crowd.speaking()
            steady = await crowd.window(window_s)
            await crowd.drain()
        with closing(Crowd(target, bench.upstream)) as crowd:
            await crowd.connect(_TURNS)
            begin, cpu = time.perf_counter(), target.cpu_s()
            await crowd.begin_all(Script(words=_WHOLE_WORDS, rate=_RATE), 1.0)
            await crowd.ended()
            used = target.cpu_s() - cpu - idle * (time.perf_counter() - begin)
            return steady, used / crowd.counts.words * 1e6


def _said(windows: list[Spent]) -> str:
    merged = median(each.words / each.events for each in windows)
    rate = median(each.words_per_s for each in windows)
    foreign = max(each.foreign for each in windows)
    all_of_them = ", ".join(f"{each.cpu_s_per_million:.0f}" for each in windows)
    return f"{rate:,.0f}/s, {merged:.2f} a event; runs {all_of_them}; others on the core ≤ {foreign:.0%}"
