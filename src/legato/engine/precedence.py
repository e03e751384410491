"""People first: while somebody waits for the first words of an answer, turns that can wait speak in small slices (R-15).

A slice is what all background turns of the process together may take of the event loop before they pause. The pause ends
when nobody waits any more, or after a while: a slow model must not silence them.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Final

_SLICE_S: Final = 0.001
_PAUSE_S: Final = 0.05


class Precedence:
    """Who waits, and when the others may go on."""

    def __init__(self) -> None:
        self._waiting = 0
        self._nobody = asyncio.Event()
        self._nobody.set()
        self._slice_ends_s = 0.0
        self._resting = 0

    def enter(self) -> None:
        """Somebody waits for the first words of an answer."""
        self._waiting += 1
        self._nobody.clear()

    def leave(self) -> None:
        """They have come, or never will."""
        self._waiting -= 1
        if self._waiting == 0:
            self._nobody.set()

    @contextlib.contextmanager
    def awaited(self) -> Iterator[None]:
        """Somebody waits as long as this lasts."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    async def give_way(self) -> None:
        """Called by a background turn after each piece that it says."""
        clock = asyncio.get_running_loop().time
        if clock() < self._slice_ends_s:
            return
        self._resting += 1
        try:
            if self._waiting:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_PAUSE_S):
                        await self._nobody.wait()
            else:
                await asyncio.sleep(0)
            # They go on in the same round of the loop, one after the other: each gets its share of the slice.
            self._slice_ends_s = clock() + _SLICE_S / self._resting
        finally:
            self._resting -= 1
