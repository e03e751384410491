"""Many turns at once, and what they cost."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from bench.client import Broken, Counts, Reading, TurnConnection, connect
from bench.machine import LOAD_CORE, SERVER_CORE, busy_s
from bench.servers import Target
from bench.upstream import Flow, Script, Upstream

_DRAIN_S: Final = 120.0


async def until(true: Callable[[], bool], within_s: float, otherwise: str) -> None:
    """Wait for something that nobody tells. Raises Broken: it did not come true."""
    deadline = time.perf_counter() + within_s
    while not true():
        if time.perf_counter() > deadline:
            raise Broken(otherwise)
        await asyncio.sleep(0.02)


class Spent(NamedTuple):
    """One window of time: what was delivered, and what the server's process used for it, net of idling."""

    seconds: float
    words: int
    events: int
    cpu_s: float
    #: How much of the server's core others used.
    foreign: float
    #: How much of the load's core was busy: near 1, the load was the limit and not the server.
    load: float

    @property
    def words_per_s(self) -> float:
        return self.words / self.seconds

    @property
    def cpu_s_per_million(self) -> float:
        return self.cpu_s / self.words * 1e6

    @property
    def busy(self) -> float:
        """The server's share of its core."""
        return self.cpu_s / self.seconds


class Crowd:
    """Connections to one server, on which turns are sent."""

    def __init__(self, target: Target, upstream: Upstream, *, idle: float = 0.0) -> None:
        self.target = target
        self.counts = Counts()
        self.readings: list[Reading] = []
        self._upstream = upstream
        self._idle = idle
        self._connections: list[TurnConnection] = []
        self._running: set[asyncio.Future[None]] = set()
        self._following: set[asyncio.Future[None]] = set()

    async def connect(self, number: int) -> None:
        self._connections = [await connect(self.target.port, self.counts) for _ in range(number)]

    def close(self) -> None:
        """Close the connections; what is read on them ends, and was checked before."""
        self._following.clear()
        for connection in self._connections:
            connection.close()

    def begin(
        self, place: int, script: Script, request: Callable[[int], bytes] | None = None
    ) -> "asyncio.Future[None]":
        """Send a turn on a connection; ``request`` makes the bytes for its number."""
        number = len(self._upstream.flows)
        flow = self._upstream.flows[number] = Flow(script)
        reading = Reading(flow, self.target.token)
        self.readings.append(reading)
        ended = self._connections[place].send((request or self.target.request)(number), reading)
        self._running.add(ended)
        return ended

    def follow(self, place: int, request: bytes, flow: Flow) -> Reading:
        """Read an answer that was asked for elsewhere, on a stream that does not end."""
        reading = Reading(flow, self.target.token, leads=False)
        self._following.add(self._connections[place].send(request, reading))
        return reading

    async def begin_all(self, script: Script, spread_s: float) -> None:
        """A turn on every connection, one after the other, at random instants."""
        begin = time.perf_counter()
        starts = sorted(random.uniform(0, spread_s) for _ in self._connections)  # noqa: S311
        for place, start in enumerate(starts):
            await asyncio.sleep(max(0.0, begin + start - time.perf_counter()))
            self.begin(place, script)

    async def speaking(self, within_s: float = 60.0) -> None:
        """Wait until every turn has begun to speak."""
        await until(self._all_speak, within_s, "not every turn has begun to speak")

    def _all_speak(self) -> bool:
        self.check()
        return all(reading.first_at for reading in self.readings)

    def check(self) -> None:
        """Raises Broken: something went wrong meanwhile."""
        for ended in [each for each in self._running if each.done()]:
            self._running.remove(ended)
            ended.result()
        for ended in self._following:
            if ended.done():
                ended.result()

    async def window(self, seconds: float) -> Spent:
        """What is spent during that time."""
        words, events, cpu = self.counts.words, self.counts.events, self.target.cpu_s()
        busy, load, begin = busy_s(SERVER_CORE), busy_s(LOAD_CORE), time.perf_counter()
        await asyncio.sleep(seconds)
        took = time.perf_counter() - begin
        cpu = self.target.cpu_s() - cpu
        spent = Spent(
            took,
            self.counts.words - words,
            self.counts.events - events,
            cpu - self._idle * took,
            (busy_s(SERVER_CORE) - busy - cpu) / took,
            (busy_s(LOAD_CORE) - load) / took,
        )
        self.check()
        return spent

    async def drain(self) -> None:
        """Stop every answer and wait until each has come to its end, whole."""
        for reading in self.readings:
            reading.flow.stop()
            if reading.flow.more is not None:
                reading.flow.more()
        await self.ended()

    async def ended(self) -> None:
        """Wait until every answer has come to its end, whole."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=_DRAIN_S)
            if late:
                raise Broken(f"{len(late)} turns did not end within {_DRAIN_S:g} s")
        self.check()


@contextmanager
def closing(crowd: Crowd) -> Iterator[Crowd]:
    try:
        yield crowd
    finally:
        crowd.close()
