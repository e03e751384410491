"""Liveness and rescue: turns whose process died come to their end through another one, or after the restart.

A worker lives as long as its counter moves. No clocks are compared: a sweeper declares dead whose counter *it* has seen
unchanged over ``dead_after_s`` of its own monotonic time, in sweeps that succeeded without a pause in between (after an
outage of the store or a pause of its own it begins to watch anew). Who finds his own row gone has been
replaced, stops his turns and goes on under a new name. Rescue never goes by a turn's age.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from legato.core.errors import LegatoError, Unavailable
from legato.core.ids import new_id
from legato.engine.diagnostics import Diagnostics
from legato.engine.dispatch import Dispatcher
from legato.engine.publish import Publisher
from legato.engine.run import Runner
from legato.engine.settings import EngineSettings
from legato.engine.stage import FENCED
from legato.engine.tasks import log, report
from legato.store import turns, workers
from legato.store.ending import Ending, Meter
from legato.store.port import Store
from legato.store.rescuing import rescue

_AT_ONCE: Final = 64
_RESIGN_S: Final = 0.5  # of the two seconds that a process has after its grace
LOST = Ending(status="incomplete", reason="worker_lost")


class _Seen(NamedTuple):
    counter: int
    since_s: float


class Lifeline:
    """One process's part in it: beat, watch the others, finish what the dead left open, notice when one is replaced."""

    def __init__(
        self,
        *,
        store: Store,
        publisher: Publisher,
        runner: Runner,
        dispatcher: Dispatcher,
        meter: Meter,
        settings: EngineSettings,
        diagnostics: Diagnostics,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._runner = runner
        self._dispatcher = dispatcher
        self._meter = meter
        self._settings = settings
        self._diagnostics = diagnostics
        self._monotonic_s = monotonic_s
        self._seen: dict[str, _Seen] = {}
        self._swept_s: float | None = None
        self._lost_s: dict[str, float] = {}  # since when the dead are known not to have moved
        self._absent: frozenset[tuple[str, int]] = frozenset()

    async def register(self) -> None:
        """Become a worker. Where only one process can serve the store, everybody registered before is dead."""
        if not self._store.shared:
            for worker_id in await self._store.read(workers.counters):
                self._lost_s[worker_id] = self._monotonic_s()
                await self._store.write(workers.remove, worker_id)
        worker_id = new_id("wrk")
        await self._store.write(workers.register, worker_id)
        self._dispatcher.worker_id = worker_id

    async def resign(self) -> None:
        """Leave: what is still open may be rescued at once."""
        with contextlib.suppress(Unavailable, TimeoutError):  # then the others find out by themselves
            async with asyncio.timeout(_RESIGN_S):
                await self._store.write(workers.remove, self._dispatcher.worker_id)

    async def beat(self) -> None:
        """Show that the event loop turns."""
        if not await self._store.vital(workers.beat, self._dispatcher.worker_id):
            log.warning("this worker was declared dead; its turns stop and it goes on under a new name")
            self._runner.stop_all(FENCED)
            await self.register()

    async def sweep(self) -> None:
        """Declare the dead, and end what has no living owner."""
        began_s = self._monotonic_s()
        try:
            for worker_id in self._dead(await self._store.read(workers.counters)):
                log.warning("worker %s is dead", worker_id)
                self._lost_s[worker_id] = self._seen[worker_id].since_s
                await self._store.write(workers.remove, worker_id)
            # Who finds himself declared dead has not noticed yet: his turns are for the others to end.
            lost = [o for o in await self._store.read(workers.orphans) if o.worker_id != self._dispatcher.worker_id]
            orphans = [*lost, *await self._forgotten()]
        except LegatoError:
            self._seen.clear()  # who could not write either may live
            raise
        for start in range(0, len(orphans), _AT_ONCE):  # together, so that they share commits
            slice_of_them = orphans[start : start + _AT_ONCE]
            await asyncio.gather(*(self._rescue(o.session_id, o.id, o.worker_id, began_s) for o in slice_of_them))
        self._lost_s.clear()

    async def _forgotten(self) -> list[Any]:
        """Our own turns that no task of ours runs, seen so in two sweeps: a claim whose answer was lost, for instance."""
        held = await self._store.read(workers.held, self._dispatcher.worker_id)
        absent = {(turn.id, turn.epoch): turn for turn in held if (turn.id, turn.epoch) not in self._runner.live}
        again = [turn for attempt, turn in absent.items() if attempt in self._absent]
        self._absent = frozenset(absent)
        return again

    async def check_fences(self) -> None:
        """Stop the attempts that are no longer ours."""
        mine = set(self._runner.live)
        if mine:
            for turn_id, epoch in mine - await self._store.read(turns.live, self._dispatcher.worker_id):
                self._runner.fence(turn_id, epoch)

    def _dead(self, counters: dict[str, int]) -> list[str]:
        now_s = self._monotonic_s()
        paused = self._swept_s is None or now_s - self._swept_s > 3 * self._settings.sweep_s
        before = {} if paused else self._seen
        self._swept_s = now_s
        self._seen = {
            worker_id: seen
            if (seen := before.get(worker_id)) is not None and seen.counter == counter
            else _Seen(counter, now_s)
            for worker_id, counter in counters.items()
            if worker_id != self._dispatcher.worker_id
        }
        return [w for w, seen in self._seen.items() if now_s - seen.since_s >= self._settings.dead_after_s]

    async def _rescue(self, session_id: str, turn_id: str, worker_id: str, seen_s: float) -> None:
        try:
            ended = await self._publisher.write(rescue, session_id, turn_id, worker_id, LOST, self._meter)
        except Unavailable:
            raise
        except Exception as error:
            report(error, f"turn {turn_id} can't be rescued")  # the others can
            return
        if ended is not None:
            again = ended.turn.status == "in_progress"
            log.warning("turn %s %s: its worker is gone", turn_id, "is tried again" if again else "was rescued")
            took_s = self._monotonic_s() - self._lost_s.get(worker_id, seen_s)
            self._diagnostics.rescued(session_id, turn_id, took_s, again=again)
            self._dispatcher.ended(session_id)
