"""The duty that compacts turns whose replay window has passed (promise E-03)."""

import contextlib

from legato.core.errors import NotFound
from legato.engine.settings import EngineSettings
from legato.engine.tasks import log
from legato.store import compaction
from legato.store.port import Store
from legato.store.ticks import Boot, this_boot, tick

_AT_ONCE = 100
_AS_BEFORE_S = 30.0  # so far apart, two jumps are one that has been reported


class Compactor:
    def __init__(self, *, store: Store, settings: EngineSettings, boot: Boot | None = None) -> None:
        self._store = store
        self._window_us = int(settings.replay_window_s * 1_000_000)
        self._boot = boot or this_boot()
        self._jumped_s = 0.0

    async def step(self) -> None:
        """Compact all that is due, a turn a transaction; nothing while the clock can't be trusted."""
        told = await self._store.write(tick, "compaction", self._boot, self._window_us)
        if not told.sane:
            if abs(told.jumped_s - self._jumped_s) > _AS_BEFORE_S:
                log.warning("the clock was put forward by %.0f s; nothing is compacted until it is sane", told.jumped_s)
            self._jumped_s = told.jumped_s
            return
        self._jumped_s = 0.0
        while due := await self._store.read(compaction.compactable, told.now_us - self._window_us, _AT_ONCE):
            for session_id, turn_id in due:
                with contextlib.suppress(NotFound):  # deleted meanwhile
                    if not await self._store.write(compaction.compact, session_id, turn_id):
                        log.error("turn %s is damaged and was not compacted", turn_id)
