"""Whether a model is worth asking: two failures within 30 seconds, and it is left alone for 90 (promise A-05)."""

from collections.abc import Callable
from typing import Final

FAILURES: Final = 2
WITHIN_S: Final = 30.0
OPEN_S: Final = 90.0


class Circuit:
    """One model's. ``clock_s`` is monotonic."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._failed_s: list[float] = []
        self._closes_s = clock_s()

    @property
    def open(self) -> bool:
        return self._clock_s() < self._closes_s

    def failed(self) -> None:
        """It did not begin to answer. Failures of requests that were under way when it opened don't keep it open."""
        now_s = self._clock_s()
        if self.open:
            return
        self._failed_s = [at_s for at_s in self._failed_s if now_s - at_s <= WITHIN_S] + [now_s]
        if len(self._failed_s) >= FAILURES:
            self._failed_s = []
            self._closes_s = now_s + OPEN_S
