"""The chore that keeps a session's newest messages only, where its agent says so (promise S-10)."""

import time
from typing import Final

from legato.agents.registry import Registry
from legato.engine.chores import Duty
from legato.engine.publish import Publisher
from legato.store import sessions, trimming
from legato.store.chores import Chore
from legato.store.port import Store

_STRETCH_S: Final = 20.0  # after that others' sessions have their turn
_AGAIN_S: Final = 5.0  # until it is looked again whether what was in the way is over


class Trimmer:
    """Trims one session after the other, a slice a transaction: running turns append in between."""

    def __init__(self, *, store: Store, publisher: Publisher, registry: Registry) -> None:
        self.duty = Duty(kind="trim", work=self.work)
        self._store = store
        self._publisher = publisher
        self._registry = registry

    async def work(self, chore: Chore) -> float | None:
        """Trim the session; None when it is as short as it should be, else seconds until there is to be gone on."""
        session = await self._store.read(sessions.owned_by_anybody, chore.session_id)
        limit = self._registry.get(session.agent_id).history_limit
        until_s = time.monotonic() + _STRETCH_S
        while limit:
            plan = await self._store.read(trimming.plan, session.id, limit)
            if not plan.slices:
                return _AGAIN_S if plan.blocked else None
            for piece in plan.slices:
                if time.monotonic() > until_s:
                    return 0.0
                if not (await self._publisher.write(trimming.cut, session.id, plan.epoch, piece)).rows:
                    break  # the session has gone on
        return None
