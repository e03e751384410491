"""How many requests a minute a provider is sent: a bucket of permits that fills evenly, and people are served first.

However requests come, no minute sees more than the limit: what a full bucket holds is taken off what flows in.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from legato.providers.slots import admit

_MINUTE_S: Final = 60.0
_BURST: Final = 10  # a tenth of a minute's requests may come at once
_ROUNDING: Final = 1e-9

Later = Callable[[float, Callable[[], None]], object]


def _later(seconds: float, call: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_later(seconds, call)


class Pace:
    """``per_minute`` None: no limit. ``clock_s`` (monotonic) and ``later`` (call this in so many seconds) are for tests."""

    def __init__(
        self, per_minute: int | None, *, clock_s: Callable[[], float] = time.monotonic, later: Later = _later
    ) -> None:
        self._limited = per_minute is not None
        self._burst = max(1, (per_minute or 1) // _BURST)
        self._per_s = ((per_minute or 1) - self._burst + 1) / _MINUTE_S
        self._permits = float(self._burst)
        self._clock_s = clock_s
        self._later = later
        self._filled_s = clock_s()
        self._rings = False
        self._people: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()

    async def permit(self, *, background: bool) -> None:
        """Wait until one more request may be sent."""
        if not self._limited:
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._others if background else self._people).append(place)
        self._give_out()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._permits += 1
                self._give_out()
            raise

    def _give_out(self) -> None:
        now_s = self._clock_s()
        self._permits = min(float(self._burst), self._permits + (now_s - self._filled_s) * self._per_s)
        self._filled_s = now_s
        while self._permits >= 1 - _ROUNDING and (admit(self._people) or admit(self._others)):
            self._permits -= 1
        if not self._rings and (self._people or self._others):
            self._rings = True
            self._later((1 - self._permits) / self._per_s, self._ring)

    def _ring(self) -> None:
        self._rings = False
        self._give_out()
