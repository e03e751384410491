"""The duty that has the database's files scrubbed when something was removed from it (guarantee G12)."""

from collections.abc import Callable

from sqlalchemy import Connection

from legato.store import scrubbing
from legato.store.port import Store

#: Takes a slice of what was removed out of an index; whether nothing was left to do.
Clean = Callable[[Connection], bool]


class Scrubber:
    """One scrub serves all that was removed before it, however much that was."""

    def __init__(self, *, store: Store, cleans: tuple[Clean, ...] = ()) -> None:
        self._store = store
        self._cleans = cleans

    async def step(self) -> None:
        """Scrub, where that is wanted; what does not succeed is tried again at the next step."""
        wish = await self._store.read(scrubbing.wanted)
        if wish is None:
            return
        for clean in self._cleans:
            while not await self._store.write(clean):
                pass
        if await self._store.scrub():
            await self._store.write(scrubbing.done, wish)
