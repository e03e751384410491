"""How many answers a provider gives at once; requests that can wait leave one place to people (promise R-15)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager


class Slots:
    """``places`` None: no limit. A single place is shared by all."""

    def __init__(self, places: int | None) -> None:
        self._places = asyncio.Semaphore(places) if places else None
        self._patient = asyncio.Semaphore(max(1, places - 1)) if places else None

    @asynccontextmanager
    async def taken(self, *, background: bool) -> AsyncIterator[None]:
        """Wait for a place and hold it."""
        async with AsyncExitStack() as stack:
            if self._patient is not None and background:
                await stack.enter_async_context(self._patient)
            if self._places is not None:
                await stack.enter_async_context(self._places)
            yield
