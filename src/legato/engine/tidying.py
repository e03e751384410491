"""The duty that takes what was removed out of the index of the search (promise S-08, guarantee G12)."""

import asyncio
from typing import Final

from legato.store import search
from legato.store.port import Store

_REST_S: Final = 0.01  # between two slices, for whoever else has to write


class Tidying:
    def __init__(self, *, store: Store, rest_s: float = _REST_S) -> None:
        self._store = store
        self._rest_s = rest_s

    async def step(self) -> None:
        """All that waits, a slice a transaction."""
        while await self._store.read(search.is_untidy):
            await self._store.write(search.clean)
            await asyncio.sleep(self._rest_s)
