"""Claiming: a waiting turn is taken up at once by the process that accepted it, else by whoever sweeps past."""

import asyncio
import contextlib
from typing import Final

from legato.agents.registry import Registry
from legato.core.errors import NotFound, Unavailable
from legato.engine.failpoints import reached
from legato.engine.publish import Publisher
from legato.engine.run import Runner
from legato.engine.settings import EngineSettings
from legato.engine.tasks import Tasks, log
from legato.store import turns, workers
from legato.store.port import Store

_SETTLE_S: Final = 2.0


class Dispatcher:
    """Decides when this process claims. Claims of one session follow each other; those of different ones don't wait."""

    def __init__(
        self,
        *,
        store: Store,
        publisher: Publisher,
        runner: Runner,
        registry: Registry,
        tasks: Tasks,
        settings: EngineSettings,
    ) -> None:
        self.worker_id = ""
        self.accepting = False
        self._store = store
        self._publisher = publisher
        self._runner = runner
        self._registry = registry
        self._tasks = tasks
        self._settings = settings
        self._claiming: dict[str, bool] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    def wake(self, session_id: str) -> None:
        """Something may wait in this session."""
        if session_id in self._claiming:
            self._claiming[session_id] = True  # look again afterwards: it may have come too late for that look
        elif self.accepting and len(self._runner.live) + len(self._claiming) < self._settings.max_running:
            self._claiming[session_id] = False
            self._idle.clear()
            self._tasks.spawn(self._claim(session_id), "claim")

    async def sweep(self) -> None:
        """Take up what nobody did."""
        room = self._settings.max_running - len(self._runner.live)
        if self.accepting and room > 0:
            for session_id in await self._store.read(turns.claimable, self._agents(), room):
                self.wake(session_id)

    async def settle(self) -> None:
        """Claim nothing more and let the claims that are on their way come to an end.

        Before the running turns are told to stop: a waiting turn that is claimed when they have made room would not run.
        """
        self.accepting = False
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), _SETTLE_S)

    async def _claim(self, session_id: str) -> None:
        try:
            reached("before_claim")
            claimed = await self._publisher.write(workers.claim, session_id, self.worker_id, self._agents())
            reached("after_claim")
            if isinstance(claimed, turns.Claimed):
                self._runner.start(claimed, self.wake)
            elif claimed is not None:
                log.error("turn %s could not run: its message is damaged", claimed.turn.id)
                self._claiming[session_id] = True  # perhaps another one waits behind it
        except (NotFound, Unavailable) as error:
            log.warning("a claim did not succeed: %s", error.code)  # the sweep comes past again
        finally:
            again = self._claiming.pop(session_id)
            if again:
                self.wake(session_id)
            if not self._claiming:
                self._idle.set()

    def _agents(self) -> list[str]:
        return [spec.id for spec in self._registry.list()]
