"""The duty that compacts turns whose replay window has passed (promise E-03)."""

from legato.engine.settings import EngineSettings
from legato.engine.tasks import log
from legato.store import compaction
from legato.store.port import Store

_AT_ONCE = 100


class Compactor:
    def __init__(self, *, store: Store, settings: EngineSettings) -> None:
        self._store = store
        self._older_than_us = int(settings.replay_window_s * 1_000_000)

    async def step(self) -> None:
        """Compact all that is due, a turn a transaction."""
        while due := await self._store.read(compaction.compactable, self._older_than_us, _AT_ONCE):
            for session_id, turn_id in due:
                if not await self._store.write(compaction.compact, session_id, turn_id):
                    log.error("turn %s is damaged and was not compacted", turn_id)
