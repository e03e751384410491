"""Small measures of the last hour, minute by minute: to add to one costs a look-up and an increment, and it never grows.

The caller says which minute it is, counted from anywhere, as long as it never goes back.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final, Generic, TypeVar

import msgspec

MINUTES: Final = 60
#: Upper bounds in seconds, each half as large again as the one before, 0.1 ms to over ten minutes: so exact is a quantile.
BOUNDS: Final = tuple(0.0001 * 1.5**step for step in range(40))

S = TypeVar("S")


class Spread(msgspec.Struct, frozen=True):
    """How long something took, in seconds; a quantile is estimated, ``max_s`` is exact."""

    count: int = 0
    p50_s: float = 0.0
    p95_s: float = 0.0
    max_s: float = 0.0


class _Slot:
    __slots__ = ("counts", "minute", "most")

    def __init__(self, minute: int) -> None:
        self.minute = minute
        self.counts = [0] * (len(BOUNDS) + 1)
        self.most = 0.0

    def spread(self) -> Spread:
        return _spread(self.counts, self.most)


class _Ring(Generic[S]):
    """The slots of the last hour; a slot is made anew when its minute is."""

    def __init__(self) -> None:
        self._slots: list[tuple[int, S] | None] = [None] * MINUTES

    def at(self, minute: int) -> S | None:
        found = self._slots[minute % MINUTES]
        return found[1] if found is not None and found[0] == minute else None

    def put(self, minute: int, slot: S) -> S:
        self._slots[minute % MINUTES] = minute, slot
        return slot

    def since(self, now: int) -> Iterator[tuple[int, S]]:
        """The oldest first."""
        for minute in range(now - MINUTES + 1, now + 1):
            if (slot := self.at(minute)) is not None:
                yield minute, slot


class Durations:
    """How long something took, of each minute."""

    def __init__(self) -> None:
        self._ring = _Ring[_Slot]()

    def add(self, minute: int, seconds: float) -> None:
        slot = self._ring.at(minute) or self._ring.put(minute, _Slot(minute))
        slot.counts[bisect_left(BOUNDS, seconds)] += 1
        slot.most = max(slot.most, seconds)

    def total(self, now: int) -> Spread:
        """Of the whole hour."""
        slots = [slot for _, slot in self._ring.since(now)]
        counts = [sum(column) for column in zip(*(slot.counts for slot in slots), strict=True)]
        return _spread(counts, max((slot.most for slot in slots), default=0.0))

    def minutes(self, now: int) -> Iterator[tuple[int, Spread]]:
        """Of each minute in which there was something."""
        return ((minute, slot.spread()) for minute, slot in self._ring.since(now))


class Tally:
    """How often what happened, of each minute; the names are few and known."""

    def __init__(self) -> None:
        self._ring = _Ring[dict[str, int]]()

    def add(self, minute: int, name: str) -> None:
        counts = self._ring.at(minute)
        if counts is None:
            counts = self._ring.put(minute, {})
        counts[name] = counts.get(name, 0) + 1

    def total(self, now: int) -> dict[str, int]:
        sums: dict[str, int] = {}
        for _, counts in self._ring.since(now):
            for name, count in counts.items():
                sums[name] = sums.get(name, 0) + count
        return sums

    def minutes(self, now: int) -> Iterator[tuple[int, dict[str, int]]]:
        return self._ring.since(now)


class Level:
    """How many there are now, and the most there were in each minute."""

    def __init__(self) -> None:
        self.now = 0
        self._ring = _Ring[tuple[int, int]]()  # how many before the minute's first change, and its peak

    def change(self, minute: int, by: int) -> None:
        before, peak = self._ring.at(minute) or (self.now, self.now)
        self.now += by
        self._ring.put(minute, (before, max(peak, self.now)))

    def minutes(self, now: int) -> list[tuple[int, int]]:
        """The most of each minute of the hour, also of those in which nothing changed."""
        level, found = self.now, list[tuple[int, int]]()
        for minute in range(now, now - MINUTES, -1):
            slot = self._ring.at(minute)
            found.append((minute, level if slot is None else slot[1]))
            level = level if slot is None else slot[0]
        return found[::-1]


def _spread(counts: list[int], most: float) -> Spread:
    count = sum(counts)
    return Spread(count, _quantile(counts, count, 0.5, most), _quantile(counts, count, 0.95, most), most)


def _quantile(counts: list[int], count: int, part: float, most: float) -> float:
    """Straight between the bounds of the bucket where it lies."""
    wanted, below = part * count, 0
    for number, here in enumerate(counts):
        if here and below + here >= wanted:
            lower = BOUNDS[number - 1] if number else 0.0
            upper = min(BOUNDS[number], most) if number < len(BOUNDS) else most
            return min(most, lower + max(0.0, upper - lower) * (wanted - below) / here)
        below += here
    return 0.0
