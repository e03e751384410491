"""Threads for the functions of the host that are not ``async``: each call has one of its own, as long as there is room.

The event loop's executor has a few threads only, and the engine needs them (search, uploads, exports): who hangs there hangs
for everybody. These here are daemons; one that hangs does not hold up the end of the process either.
"""

import asyncio
import contextlib
import contextvars
import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakKeyDictionary

from legato.core.errors import Busy

_MOST: Final = 64
_PATIENCE_S: Final = 60.0

_log: Final = logging.getLogger("legato")


class Threads:
    """At most ``most`` threads in each event loop (a server has one); a call waits ``patience_s`` for one."""

    def __init__(self, *, most: int = _MOST, patience_s: float = _PATIENCE_S) -> None:
        self._most = most
        self._patience_s = patience_s
        self._rooms: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    async def call(self, work: Callable[[], Any], timeout_s: float | None = None) -> Any:
        """What ``work`` gives; a thread is only for what is not ``async``, and goes on when its time is over.

        Raises:
            TimeoutError: it took longer than ``timeout_s``, from when it began. Busy: it could not begin.
            And whatever it raises.
        """
        room = None if inspect.iscoroutinefunction(work) else await self._room()
        async with asyncio.timeout(timeout_s):
            value = work() if room is None else await _in_thread(work, room)
            return await value if inspect.isawaitable(value) else value

    async def _room(self) -> asyncio.Semaphore:
        """With a place taken in it."""
        room = self._rooms.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self._most))
        try:
            async with asyncio.timeout(self._patience_s):
                await room.acquire()
        except TimeoutError:
            _log.error("%d threads are busy with tools and steps, and none was done in time: some hang", self._most)
            raise Busy("Too much hangs; this was not begun.") from None
        return room


#: Those of this process.
THREADS: Final = Threads()


async def _in_thread(work: Callable[[], Any], room: asyncio.Semaphore) -> Any:
    """The place in ``room`` is free again when the thread ends, whether or not somebody waits for it still."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
    context = contextvars.copy_context()

    def end(value: Any, error: BaseException | None) -> None:
        room.release()
        if not ended.done():
            ended.set_result((value, error))

    def run() -> None:
        value, error = None, None
        try:
            value = context.run(work)
        except BaseException as met:  # it is raised where it is waited for
            error = met
        with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody waits for anything
            loop.call_soon_threadsafe(end, value, error)

    try:
        threading.Thread(target=run, name="legato-host", daemon=True).start()
    except BaseException:  # the system gives no more threads
        room.release()
        raise
    value, error = await ended
    if error is not None:
        raise error
    return value
