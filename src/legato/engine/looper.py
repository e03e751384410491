"""The shape of a duty that recurs: ``start``, ``stop``, and a step that a test can call."""

import asyncio
from collections.abc import Awaitable, Callable

from legato.core.errors import Unavailable
from legato.engine.tasks import log, report


class Looper:
    """Calls ``step`` every ``interval_s``, or at once when woken. A step that fails is reported and tried again."""

    def __init__(self, *, step: Callable[[], Awaitable[None]], interval_s: float, name: str) -> None:
        self._step = step
        self._interval_s = interval_s
        self._name = name
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    def wake(self) -> None:
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._step()
            except Unavailable:
                log.warning("%s: the store is unavailable", self._name)
            except Exception as error:  # a duty outlives its failures, and says them
                report(error, self._name)
            try:
                await asyncio.wait_for(self._wake.wait(), self._interval_s)
            except TimeoutError:
                continue
