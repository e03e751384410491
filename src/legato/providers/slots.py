"""How many answers a provider gives at once; people's requests come first, and find one place free (promise R-15)."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Slots:
    """``places`` None: no limit. Requests that can wait take all places but one, or the only one, while no person waits."""

    def __init__(self, places: int | None) -> None:
        self._free = places
        self._background_free = max(1, places - 1) if places is not None else 0
        self._people: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def taken(self, *, background: bool) -> AsyncIterator[None]:
        """Wait for a place and hold it."""
        if self._free is None:
            yield
            return
        await self._take(background=background)
        try:
            yield
        finally:
            self._give_back(background=background)

    async def _take(self, *, background: bool) -> None:
        waiting = self._others if background else self._people
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(place)
        self._give_out()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._give_back(background=background)
            raise  # who is next passes over a place that nobody waits for

    def _give_out(self) -> None:
        while self._free and admit(self._people):
            self._free -= 1
        while self._free and self._background_free and admit(self._others):
            self._free -= 1
            self._background_free -= 1

    def _give_back(self, *, background: bool) -> None:
        self._free = (self._free or 0) + 1
        self._background_free += background
        self._give_out()


def admit(waiting: "deque[asyncio.Future[None]]") -> bool:
    """Let the first of those go on who still wait; whether there was one."""
    while waiting:
        place = waiting.popleft()
        if not place.done():
            place.set_result(None)
            return True
    return False
