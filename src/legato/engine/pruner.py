"""The daily run that removes what is too old (promise S-06)."""

import contextlib
from collections.abc import Callable

from legato.core.errors import ClockJumped
from legato.engine.lifecycle import Lifecycle
from legato.engine.settings import EngineSettings
from legato.engine.tasks import log
from legato.store import retention
from legato.store.port import Store
from legato.store.retention import Due


class Pruner:
    """Looks whether the hour has come, and says once why nothing is removed."""

    def __init__(
        self, *, store: Store, lifecycle: Lifecycle, worker: Callable[[], str], settings: EngineSettings
    ) -> None:
        self._store = store
        self._lifecycle = lifecycle
        self._worker = worker
        self._hour = settings.prune_hour
        self._said: str | None = None

    async def step(self) -> None:
        """Remove what is too old, if the hour has come; say once why not."""
        with contextlib.suppress(ClockJumped):  # in the middle of it: the next step says so
            await self._prune_what_is_due()

    async def _prune_what_is_due(self) -> None:
        rules = self._lifecycle
        due = await self._store.write(
            retention.due, self._worker(), self._hour, rules.ages_us, rules.boot, rules.window_us
        )
        if due is None:
            return
        if not due.told.sane:
            self._say("the clock was put forward; nothing is removed for its age until it is sane")
            return
        self._said = None
        gone = await self._prune_some(due) if not due.told.proven else None
        if gone is None:
            gone = await rules.prune_all()
            await self._store.write(retention.done, due.day)
        if gone:
            log.info("%d sessions were removed for their age", gone)

    async def _prune_some(self, due: Due) -> int | None:
        """What may go in a day while the clock is not proven; None where that is all."""
        size = await self._lifecycle.count_overdue()
        if size.count <= size.most:
            return None
        log.warning(
            "%d of %d sessions are too old, but the machine was restarted and its clock is not proven; "
            "the %d oldest are removed today, and as many each day",
            size.count,
            size.of,
            size.most,
        )
        # Before: who dies on the way, and comes back, and dies, removes no more than this in a day.
        await self._store.write(retention.done, due.day)
        return await self._lifecycle.prune_all(most=size.most)

    def _say(self, why: str) -> None:
        if why != self._said:
            self._said = why
            log.warning("%s", why)
