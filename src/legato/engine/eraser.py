"""The duty that erases deleted sessions, in slices between which everybody else's writing goes on (guarantee G12)."""

import asyncio
import time
from typing import Final

from legato.engine.chores import Duty
from legato.engine.failpoints import reached
from legato.store import erasing
from legato.store.chores import Chore
from legato.store.port import Store

_SLICE_S: Final = 0.01  # what one slice may keep the writer; running turns append in between
_FEWEST_ROWS: Final = 10
_FIRST_ROWS: Final = 100
_MOST_ROWS: Final = 1_000
_MOST_PAUSE_S: Final = 0.05  # as long as a slice took, in which others write as if there were none
_STRETCH_S: Final = 20.0  # after that others' sessions have their turn
_LINGER_S: Final = 2.0  # for the lists of other processes, which look whose session it was


class Eraser:
    """Erases one session after the other. ``rows`` is how many a slice takes: it follows what the last ones took."""

    def __init__(self, *, store: Store) -> None:
        self.duty = Duty(kind="erase", work=self.work, most_tries=0)
        self.rows = _FIRST_ROWS
        self._store = store

    async def work(self, chore: Chore) -> float | None:
        """Erase a session that nobody can reach any more; seconds until there is to be gone on, None when it is erased.

        Raises:
            Unavailable: the store takes nothing.
        """
        began_s = before_s = time.monotonic()
        rows = 0
        while not (done := await self._slice(chore.session_id)).last:
            rows += done.rows
            now_s = time.monotonic()
            if now_s - began_s > _STRETCH_S:
                return 0.0
            await asyncio.sleep(min(now_s - before_s, _MOST_PAUSE_S))
            before_s = time.monotonic()
        if self._store.shared and rows + done.rows:  # the last of it went just now
            return _LINGER_S
        await self._store.write(erasing.forget, chore.session_id)
        return None

    async def _slice(self, session_id: str) -> erasing.Slice:
        done = await self._store.write(erasing.erase, session_id, self.rows)
        reached("in_erase")
        if done.took_s > _SLICE_S:
            self.rows = max(_FEWEST_ROWS, self.rows // 2)
        elif done.rows == self.rows and done.took_s < _SLICE_S / 2:
            self.rows = min(_MOST_ROWS, self.rows * 2)
        return done
