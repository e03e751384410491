"""Every task has an owner: this registry. What it starts, it can wait for, cancel, and report when it breaks."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

_CANCEL_S: Final = 0.5  # what a cancelled task gets to clean up

log = logging.getLogger("legato")


class Tasks:
    """The tasks of one Legato."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, object], name: str) -> None:
        """Start ``work``; if it fails, that is reported."""
        self.start(work, name).add_done_callback(_report_failure)

    async def uncancelled(self, work: Coroutine[Any, Any, T], name: str) -> T:
        """Run ``work`` to its end even when the caller stops waiting: what is committed must also be told."""
        task = self.start(work, name)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_report_failure)  # nobody else will hear of it
            raise

    def start(self, work: Coroutine[Any, Any, T], name: str) -> "asyncio.Task[T]":
        """Start ``work``; the caller takes its result, or its failure."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def settle(self, timeout_s: float) -> None:
        """Wait for what runs and what it starts, then cancel what is left and wait for that."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while self._running and (left := deadline - loop.time()) > 0:
            await asyncio.wait(set(self._running), timeout=left, return_when=asyncio.FIRST_COMPLETED)
        for task in self._running:
            task.cancel()
        if self._running:
            _, stuck = await asyncio.wait(set(self._running), timeout=_CANCEL_S)
            for task in stuck:
                log.error("task %s does not end and is left behind", task.get_name())


def _report_failure(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        report(error, f"task {task.get_name()} failed")


def report(error: BaseException, what: str) -> None:
    """Log where and of which type; never the message, which may quote a conversation or a secret (promise X-05)."""
    where: list[str] = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        where.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    log.error("%s: %s at %s", what, type(error).__name__, " < ".join(reversed(where[-6:])))
