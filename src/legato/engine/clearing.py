"""Clearing a session: empty at once, and then taken away in slices between which everybody else's writing goes on (S-08)."""

import asyncio
import time
from typing import Final

from legato.engine.chores import Duty
from legato.store import clearing
from legato.store.chores import Chore
from legato.store.port import Store

_STRETCH_S: Final = 20.0  # after that others' sessions have their turn
_MOST_PAUSE_S: Final = 0.05  # as long as a slice took, in which others write as if there were none


class Clearing:
    """Takes away what was cleared: who cleared does it, or the chore of who died on the way."""

    def __init__(self, *, store: Store) -> None:
        self.duty = Duty(kind="clear", work=self.work, most_tries=0)
        self._store = store

    async def work(self, chore: Chore) -> float | None:
        """None when all of it is gone, else seconds until there is to be gone on."""
        return None if await self.remove(chore.session_id, _STRETCH_S) else 0.0

    async def remove(self, session_id: str, within_s: float = float("inf")) -> bool:
        """Whether all of it is gone. Raises Unavailable."""
        began_s = before_s = time.monotonic()
        while not await self._store.write(clearing.remove, session_id):
            now_s = time.monotonic()
            if now_s - began_s > within_s:
                return False
            await asyncio.sleep(min(now_s - before_s, _MOST_PAUSE_S))
            before_s = time.monotonic()
        return True
