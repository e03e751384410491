"""What one core carries when the model sends as fast as it is read, to 100 turns.

At most ``window`` tokens of a turn are under way between the model and the reader, so that "as it is read" does not mean what
the kernel's buffers hold. *One by one*: one token a write; *in batches*: 16 in one write. In *lock-step* two tokens of a
turn are under way, so that next to nothing can be joined.
"""

from typing import Final

from bench.bench import Bench
from bench.crowd import Crowd, Spent, closing
from bench.report import Line, median
from bench.upstream import Script

_TURNS: Final = 100
_MODES: Final = {
    "one by one": (Script(window=256), 16_000),
    "batches of 16": (Script(window=256, per_write=16), 50_000),
    "lock-step": (Script(window=2), None),
}


async def measure(bench: Bench) -> list[Line]:
    lines: list[Line] = []
    for mode, (script, limit) in _MODES.items():
        for name in ("legato", "sdk"):
            windows = await run(bench, name, script)
            lines.append(
                Line(
                    row="saturated",
                    what=f"{mode}, {name}",
                    measured=median(each.words_per_s for each in windows),
                    unit="tokens/s",
                    limit=limit if name == "legato" else None,
                    at_least=True,
                    note=said(windows),
                )
            )
    return lines


async def run(bench: Bench, name: str, script: Script) -> list[Spent]:
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
    merged = median(each.words / each.events for each in windows)
    busy = median(each.busy for each in windows)
    load = median(each.load for each in windows)
    foreign = max(each.foreign for each in windows)
    return f"{merged:.1f} a event; core {busy:.0%} busy, load's {load:.0%}; others on the core ≤ {foreign:.0%}"
