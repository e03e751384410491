"""How long a client waits, for what, and how it spaces its attempts."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

_FLOOR_S: Final = 0.05  # a server that asks for ``retry: 0`` must not make a client spin


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Every number in seconds.

    ``timeout_s``: for the answer to one request. ``retry_for_s``: for a call with all its attempts.
    ``silence_s``: a stream that brings nothing for so long is dead (the server's heartbeat comes every 15 s).
    ``give_up_after_s``: how long a stream may be without a connection before it raises; None for ever.
    """

    timeout_s: float = 10.0
    retry_for_s: float = 30.0
    silence_s: float = 40.0
    give_up_after_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Ambient:
    """What a test replaces: a monotonic clock and a sleep, both in seconds, and random numbers of [0, 1)."""

    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[object]]
    random: Callable[[], float]


class Backoff:
    """Delays that double from ``first_s`` to ``most_s``, each stretched by up to a half.

    Stretched and not shrunk: what the server asked for is the least it wants to wait, and the stretch keeps a
    thousand clients that it cut at once from coming back at once.
    """

    def __init__(self, random: Callable[[], float], *, first_s: float = 0.5, most_s: float = 15.0) -> None:
        self._random = random
        self._first_s = first_s
        self._most_s = most_s
        self.failures = 0

    def begin_at(self, seconds: float) -> None:
        """The first delay from now on, as a server's ``retry:`` asks."""
        self._first_s = min(max(seconds, _FLOOR_S), self._most_s)

    def succeeded(self) -> None:
        self.failures = 0

    def next_s(self, at_least_s: float = 0.0) -> float:
        """The delay before the next attempt; ``at_least_s`` is a server's ``Retry-After``."""
        doubled: float = min(self._most_s, self._first_s * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return max(doubled, at_least_s) * (1 + self._random() / 2)
