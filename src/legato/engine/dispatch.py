"""Claiming: a turn is taken up by the process that accepts it, in the same transaction, where nothing is before it; else
when the turn before it ends, or by whoever sweeps past."""

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
from legato.store import accepting, claiming, workers
from legato.store.ending import Meter
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
        meter: Meter,
        settings: EngineSettings,
    ) -> None:
        self.worker_id = ""
        self.accepting = False
        self._store = store
        self._publisher = publisher
        self._runner = runner
        self._registry = registry
        self._tasks = tasks
        self._meter = meter
        self._settings = settings
        self._claiming: dict[str, bool] = {}
        self._accepts = 0
        self._patient = 0  # claims on their way that may bring a background turn
        self._missed = False  # somebody may have been passed over: look again
        self._sweeping = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def accept(self, send: accepting.Send, check: accepting.Check) -> accepting.Accepted:
        """Accept a send and, where nothing is before it and there is room, begin to answer it in the same transaction."""
        return await self._tasks.uncancelled(self._accept(send, check), "accept")

    def wake(self, session_id: str) -> None:
        """Something may wait in this session."""
        if session_id in self._claiming:
            self._claiming[session_id] = True  # look again afterwards: it may have come too late for that look
        elif self._has_room():
            self._claiming[session_id] = False
            self._idle.clear()
            self._tasks.spawn(self._claim(session_id), "claim")
        else:
            self._missed = True

    def ended(self, session_id: str) -> None:
        """A turn of this session has made room: for the next one there or, where there are limits, for whoever comes first."""
        if self._limited:
            self._look()
        else:
            self.wake(session_id)

    async def sweep(self) -> None:
        """Take up what nobody did."""
        if self.accepting and (room := self._room()) > 0:
            for session_id in await self._store.read(claiming.claimable, self._claimant(), room):
                self.wake(session_id)

    async def settle(self) -> None:
        """Claim nothing more and let the claims that are on their way come to an end.

        Before the running turns are told to stop: a waiting turn that is claimed when they have made room would not run.
        """
        self.accepting = False
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), _SETTLE_S)

    async def _accept(self, send: accepting.Send, check: accepting.Check) -> accepting.Accepted:
        reached("before_claim")
        claimant = self._claimant() if self._has_room() else None
        patient = send.priority == "background" and claimant is not None and claimant.background
        self._accepts += 1
        self._patient += patient
        self._idle.clear()
        try:
            accepted = await self._publisher.commit(workers.accept, send, self._meter, claimant, check)
            if accepted.claimed is not None:
                self._start(accepted.claimed)
        finally:
            self._accepts -= 1
            self._patient -= patient
            self._settle()
        return accepted

    async def _claim(self, session_id: str) -> None:
        claimant = self._claimant()
        crowded = not claimant.background and self._runner.background < self._settings.max_background
        self._patient += claimant.background
        try:
            reached("before_claim")
            claimed = await self._publisher.write(workers.claim, session_id, claimant, self._meter)
            if isinstance(claimed, claiming.Claimed):
                self._start(claimed)
            elif claimed is not None:
                log.error("turn %s could not run: %s", claimed.turn.id, claimed.turn.reason)
                self._claiming[session_id] = True  # perhaps another one waits behind it
            # Refused only for the sake of claims on their way, or seen before an owner whose turns hid those of others.
            self._missed |= crowded if claimed is None else self._settings.max_running_per_owner is not None
        except NotFound:
            pass  # the session was deleted
        except Unavailable as error:
            log.warning("a claim did not succeed: %s", error.code)  # the sweep comes past again
        finally:
            self._patient -= claimant.background
            again = self._claiming.pop(session_id)
            if again:
                self.wake(session_id)
            self._settle()

    def _start(self, claimed: claiming.Claimed) -> None:
        reached("after_claim")
        self._runner.start(claimed, self.ended)

    def _look(self) -> None:
        """Sweep, and once more where one is on its way: it may have read what was before."""
        self._missed = True
        if self.accepting and not self._sweeping:
            self._sweeping = True
            self._tasks.spawn(self._sweep_again(), "dispatch")

    async def _sweep_again(self) -> None:
        try:
            while self._missed and self._has_room():
                self._missed = False
                await self.sweep()
        except Unavailable:
            log.warning("dispatch: the store is unavailable")  # the sweep comes past again
        finally:
            self._sweeping = False

    def _has_room(self) -> bool:
        return self.accepting and self._room() > 0

    def _room(self) -> int:
        return self._settings.max_running - len(self._runner.live) - len(self._claiming) - self._accepts

    def _claimant(self) -> claiming.Claimant:
        return claiming.Claimant(
            worker_id=self.worker_id,
            agents={spec.id: spec.max_running for spec in self._registry.list()},
            tails={spec.id: spec.tail for spec in self._registry.list()},
            on_crash={spec.id: spec.on_crash for spec in self._registry.list()},
            per_owner=self._settings.max_running_per_owner,
            background=self._runner.background + self._patient < self._settings.max_background,
        )

    @property
    def _limited(self) -> bool:
        """Whether a turn may wait for another session's to end."""
        return (
            self._settings.max_running_per_owner is not None
            or len(self._runner.live) + 1 >= self._settings.max_running
            or self._runner.background + 1 >= self._settings.max_background
            or any(spec.max_running is not None for spec in self._registry.list())
        )

    def _settle(self) -> None:
        if not self._claiming and not self._accepts:
            self._idle.set()
        if self._missed and self._has_room():
            self._look()
