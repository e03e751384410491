"""What one more reader of the same turn costs: the difference between many and one, divided by their number.

Beside it a bare ASGI application under uvicorn that writes the same frames to the same number of connections.
"""

import asyncio
from typing import Final

from bench.bench import Bench
from bench.client import Reading
from bench.crowd import Crowd, Spent, closing, until
from bench.report import Line, median
from bench.upstream import Flow, Script

_READERS: Final = 50
_RATE: Final = 200.0


async def measure(bench: Bench) -> list[Line]:
    costs: dict[str, list[float]] = {"legato": [], "uvicorn": []}
    for _ in range(bench.scaled(3, 1)):
        costs["legato"].append(await _legato(bench))
        costs["uvicorn"].append(await _bare(bench))
    legato, bare = median(costs["legato"]), median(costs["uvicorn"])
    note = f"runs {', '.join(f'{cost:.1f}' for cost in costs['legato'])}"
    return [
        Line(row="readers", what="legato", measured=legato, unit="CPU-s/M events", limit=17.0, note=note),
        Line(row="readers", what="bare uvicorn", measured=bare, unit="CPU-s/M events"),
        Line(row="readers", what="legato / bare uvicorn", measured=legato / bare, unit="", limit=2.0),
    ]


def _cost(alone: Spent, many: Spent) -> float:
    """Of the further readers, per million events that they were given."""
    return (
        (many.cpu_s / many.seconds - alone.cpu_s / alone.seconds)
        / (many.events / many.seconds - alone.events / alone.seconds)
        * 1e6
    )


async def _legato(bench: Bench) -> float:
    with bench.legato() as target:
        idle = target.idle(1.0)
        target.prepare(1)
        session = target.session()
        with closing(Crowd(target, bench.upstream, idle=idle)) as crowd:
            await crowd.connect(1 + _READERS)
            crowd.begin(0, Script(rate=_RATE), lambda number: target.request_in(session, number))
            await crowd.speaking()
            flow = crowd.readings[0].flow
            cost, readings = await _compare(bench, crowd, flow, target.events(session))
            await crowd.drain()
            await until(lambda: all(each.words == flow.sent for each in readings), 30, "a reader lacks something")
            return cost


async def _bare(bench: Bench) -> float:
    with bench.bare(_RATE) as target:
        idle = target.idle(1.0)
        flow = Flow(Script())
        with closing(Crowd(target, bench.upstream, idle=idle)) as crowd:
            await crowd.connect(1 + _READERS)
            first = crowd.follow(0, target.request(0), flow)
            await until(lambda: first.first_at > 0, 30, "the reader does not read")
            cost, _ = await _compare(bench, crowd, flow, target.request(0))
            return cost


async def _compare(bench: Bench, crowd: Crowd, flow: Flow, request: bytes) -> tuple[float, list[Reading]]:
    window_s = bench.scaled(3.0, 2.0)
    await asyncio.sleep(0.3)
    alone = await crowd.window(window_s)
    readings = [crowd.follow(1 + place, request, flow) for place in range(_READERS)]
    await until(lambda: all(reading.first_at for reading in readings), 30, "not every reader reads")
    await asyncio.sleep(0.3)
    return _cost(alone, await crowd.window(window_s)), readings
